"""From packs to queued jobs: find packs, preview, prove records, queue all or nothing, run again.

Come in by `submission.submit_jobs`, `ordering` (several packs), `importing` and `reruns`.
Imports: `jobs.queue` and below.
"""
