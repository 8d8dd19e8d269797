"""Run one claimed job to a known end: its units, the request under way, pictures, attempts, evidence.

Come in by `run.run_one`. Imports: `jobs.queue`, `jobs.models`, `jobs.records.record` and `webui`.
"""
