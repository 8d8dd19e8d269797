"""Bundles of jobs with secrets planted wherever one could come from: none may be found in any of them."""
