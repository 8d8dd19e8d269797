"""The real worker with the real pipelines of DiffSynth, on the processor, with tiny random weights.

`tiny_*`, `make_weights`, `full_size` and `torchvision_shim` run in the workers' own environment, everything else in
that of the tests.
"""
