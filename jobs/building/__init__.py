"""From a pack's content and a person's options to records: pure and deterministic.

Come in by `builder.build`; `plan.plan_build` counts and refuses first. Imports: `jobs.packs` and below.
"""
