"""Measurements of the promises about speed, as a program: `python -m tests.benchmark`."""
