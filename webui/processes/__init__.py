"""Processes of WebUIs that are ours: start, recognise, end; their folders of logs and the last lines in them.

Come in by `process`. Imports: `webui.models`.
"""
