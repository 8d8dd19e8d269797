"""The API for programs (`/api/v1/`, django-ninja): jobs as JSON, for who is signed in.

Come in by `jobs.api.urls`. Imports: the read models, and what pages say of their own files' addresses.
"""
