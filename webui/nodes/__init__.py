"""The servers that we know: how each is described, changed, and asked for something.

Come in by `adding` and `wishes`. Imports: `webui.models`, `webui.http`.
"""
