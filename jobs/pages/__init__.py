"""The pages of the domain: views, forms, thumbnails. A view reads by `jobs.reading` and writes by the verbs.

Come in by `jobs.urls`. Imports: everything of `jobs`.
"""
