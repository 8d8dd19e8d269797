"""The record (NJR): one complete, frozen request, its stages, and its canonical bytes. Pure.

Come in by `record.NormalizedJobRecord`. Imports: `jobs.errors` and the vocabulary of `webui.work`.
"""
