"""Fill an empty database with a believable past and a long queue, to measure pages or to try them at size.

Rows go past the verbs of `jobs`, because a million jobs through them would take a day; what they promise (constraints,
hashes, ledger) holds all the same. Nothing else in the project makes rows this way.
"""
