"""The queue: how jobs come in, wait, are claimed and move; the only writer of a job's status.

Come in by `moves` (the one function that moves a job), `enqueue`, `claims.claim_next`, `control` (what people do to the
queue), `fitness` (which nodes lack what jobs need) and `search`. Imports: `jobs.models` and below.
"""
