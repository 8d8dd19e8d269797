"""From packs to queued jobs: find packs, preview, check what nodes lack, prove records, queue, run again.

Come in by `submission.submit_jobs`, `ordering` (several packs), `importing`, `preflight` and `reruns`.
Imports: `jobs.queue` and below.
"""
