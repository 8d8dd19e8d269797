"""Acts on many jobs: a selection or all that match, in chunks of one short transaction each.

Come in by `acts.start` and `acts.advance`. Imports: `jobs.submitting`, `jobs.queue` and below.
"""
