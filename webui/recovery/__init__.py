"""One request and what its failure costs: evidence, one restart, one retry.

Come in by `recovery.generate_images_with_recovery`. Imports: `webui.keeper.keeper` and below.
"""
