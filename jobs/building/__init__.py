"""From a pack's content and a person's options to records: pure and deterministic.

`plan.plan_build` plans a pack once; `builder` makes records of that plan. Imports: `jobs.packs` and below.
"""
