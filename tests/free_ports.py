"""Ports for the servers of tests, from below those that the system hands out by itself.

A port that the system chose may be chosen again, for anybody's connection, before the server of a test has bound it.
"""

from __future__ import annotations

import itertools
import os
import socket

FIRST, PER_WORKER = 11_000, 2_000
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
# Two test runs at once begin at different places of the same range.
_turns = itertools.count(os.getpid() * 37)


def free_port() -> int:
    """A port of this test process alone on which nobody listens; never the same one twice in a row."""
    for turn in itertools.islice(_turns, PER_WORKER):
        port = FIRST + _worker * PER_WORKER + turn % PER_WORKER
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
