"""What is kept of a failure, and what must not leave with it: payload shapes, log tails, redaction.

Come in by `failure_artifacts` and `redaction`. Imports: `webui.processes` and below.
"""
