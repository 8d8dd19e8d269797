"""A kind of server that the product has never heard of, and its driver: what a new driver needs, and nothing else."""
