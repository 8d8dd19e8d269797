"""The one actor on a node's WebUI: starts, adopts, watches and restarts it.

Come in by `keeper.Keeper`; everybody else leaves a wish (`webui.nodes.wishes`). Imports: `webui.evidence` and below.
"""
