"""Failures: one told for people, many grouped by cause, narrowed down, acted upon.

Come in by `groups` and `failure`. Imports: `jobs`, `webui`.
"""
