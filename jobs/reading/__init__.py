"""Read models: what pages, commands and diagnostics show, read with a constant number of queries. Writes nothing.

Each module is one noun of the pages. Imports: everything of `jobs` below the pages.
"""
