"""Look after one node's worker: the loop around the engine, lost runs, leftover requests, its processes.

Come in by `supervisor` (what `run_node` runs). Imports: `jobs.running`, `jobs.queue` and below, and `webui`.
"""
