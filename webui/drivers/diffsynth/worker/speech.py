"""What the worker says to people: lines on standard error, and one on standard output."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    print(f"worker: {line}", file=sys.stderr, flush=True)


class Announcement:
    """Keeps standard output for our own line; whatever libraries print there goes to standard error from now on."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def make(self, line: str) -> None:
        """A reader that has gone needs no announcement."""
        try:
            os.write(self._descriptor, f"{line}\n".encode())
        except OSError:
            say(line)
