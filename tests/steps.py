"""Work counted in lines of Python: as many on a slow machine as on a fast one, so that a test can bound them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Steps:
    """Lines run so far."""

    count: int = 0


@contextmanager
def counted_steps(most: int = sys.maxsize) -> Iterator[Steps]:
    """Counts the lines of every function that the block calls; AssertionError at the first one above `most`.

    What goes on inside one call of a compiled function (a regular expression, a sort) is not counted.
    """
    steps = Steps()

    def count(_frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            steps.count += 1
            assert steps.count <= most, f"more than {most:,} steps"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield steps
    finally:
        sys.settrace(before)
