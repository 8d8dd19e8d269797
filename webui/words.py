"""How numbers and durations are written in sentences; pages write points in time with their template filters."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """`1 job`, `1,234 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
