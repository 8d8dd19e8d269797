"""Requests of a job as a file, and the same requests sent to another node.

Come in by `recording` (out) and `sending` (in). Imports: `explaining`, `jobs`, `webui`.
"""
