"""Everything about one job in one file that may leave the installation.

Come in by `building`; whatever goes in passes the door (`door`). Imports: `explaining`, `evidence`, `replay`, `jobs`,
`webui`.
"""
