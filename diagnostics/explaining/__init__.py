"""What happened to a job, or why it waits: facts, sentences, and what was sent and used.

Come in by `explain`. Imports: `jobs`, `webui`.
"""
