"""What a process knows for all its log lines: the node that it works for, the job that it runs.

A process works for one node and runs one job at a time, in whichever thread a line is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_known: dict[str, object] = {}


def known_fields() -> dict[str, object]:
    return dict(_known)


def know(**fields: object) -> None:
    """From now on, for the rest of this process and its forks."""
    _known.update(fields)


@contextmanager
def knowing(**fields: object) -> Iterator[None]:
    """For as long as the block runs."""
    before = dict(_known)
    _known.update(fields)
    try:
        yield
    finally:
        _known.clear()
        _known.update(before)
