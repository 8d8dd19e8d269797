"""One deadline for a whole answer, its head and its body: each wait for bytes is as long as what is left."""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` in seconds of `clock`."""

    at: float
    clock: Callable[[], float]

    def left_s(self) -> float:
        """Raises TimeoutError when nothing is left."""
        left_s = self.at - self.clock()
        if left_s <= 0:
            raise TimeoutError("the answer did not come to its end in time")
        return left_s


class TimelyResponse(http.client.HTTPResponse):
    """Reads from its socket by the deadline. http.client itself begins every wait anew, so a trickle never ends."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        bytes_of_socket = sock.makefile("rb", buffering=0)
        self.fp.close()
        self.fp = io.BufferedReader(_TimelyBytes(sock, bytes_of_socket, deadline), io.DEFAULT_BUFFER_SIZE)


class _TimelyBytes(io.RawIOBase):
    def __init__(self, sock: socket.socket, source: io.RawIOBase, deadline: Deadline) -> None:
        self._sock = sock
        self._source = source
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.left_s())
        return self._source.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()
