"""Whether results are what was asked for: pixels, the judge, what becomes of a drift, and what is kept of it.

Come in by `judge.judge` (pure), `look.look_at`, `checks` (rows) and `recheck`. What only a kind of server knows (the
names that it writes, and which of them say what was used) is its driver's. Imports: `jobs.queue`, `jobs.models` and
`webui`.
"""
