"""How far the check of results can be trusted: lies that it must catch, honest results that it must let pass.

`python -m tests.truth --lies` tells each lie once to the check, over HTTP from real simulators in both dialects;
`python -m tests.truth --honest N` lets it judge N varied honest results. `docs/truth.md` has the figures.
"""
