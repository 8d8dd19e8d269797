"""Input pictures: what films and edits are made of.

Come in by `facts.read_input` (pure: bytes in, facts or a refusal out) and `store` (one file and one row for equal
bytes). They stand on two layers: `facts` imports `jobs.errors` alone, so that packs can use it; `store` needs tables.
"""
