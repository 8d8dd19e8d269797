"""A client that takes no byte of its answer for a while is disconnected, and what served it is free again.

The web server (waitress) only marks such a connection for closing and then waits until it can be written to, which is
never; a thread that makes an answer piece by piece would wait with it.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from waitress.server import BaseWSGIServer, MultiSocketServer

try:
    import fcntl
    import termios
except ImportError:  # Windows does not tell what a client has still to take.
    fcntl = termios = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

#: The connection is reset instead of kept by the system until what it has buffered is taken.
_NO_LINGERING = struct.pack("ii", 1, 0)


class Channel(Protocol):
    """A connection, as far as it is looked at here."""

    socket: socket.socket | None
    addr: Any
    last_activity: float
    total_outbufs_len: int
    will_close: bool

    def handle_close(self) -> None: ...


@dataclass(slots=True)
class _Sight:
    """When a client was last seen to take something, and how the connection stood when it was looked at."""

    at_s: float
    activity: float
    unsent_bytes: int
    untaken_bytes: int

    def is_moved_by(self, later: _Sight) -> bool:
        """Whether its client has taken something since: what is written goes through the system's buffer, which gives
        room only as the client takes. The activity alone is noted when a write ends, and a write lasts as long as the
        client takes fast.
        """
        return (
            later.activity != self.activity
            or later.unsent_bytes < self.unsent_bytes
            or later.untaken_bytes < self.untaken_bytes
        )


class StalledClients:
    """Looks at connections from time to time, by one thread; those with nothing to take are never stalled."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._sights: dict[Channel, _Sight] = {}

    def look(self, channels: Iterable[Channel]) -> list[Channel]:
        """Those whose client has taken nothing for the limit."""
        now_s, before = self._clock(), self._sights
        self._sights, stalled = {}, []
        for channel in channels:
            now = _Sight(now_s, channel.last_activity, channel.total_outbufs_len, untaken_bytes(channel))
            if not now.unsent_bytes and not now.untaken_bytes:
                continue
            sight = before.get(channel)
            if sight is None or sight.is_moved_by(now):
                self._sights[channel] = now
            elif now_s - sight.at_s >= self._limit_s:
                stalled.append(channel)
            else:
                self._sights[channel] = sight
        return stalled


def disconnect_stalled(server: Any, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Let this server's own look at its connections, in its main loop, find those that are stalled, too."""
    if limit_s > 0:
        for listening in listening_sockets(server):
            maintain = partial(_maintain, listening, listening.maintenance, StalledClients(limit_s, clock))
            listening.maintenance = maintain  # type: ignore[method-assign]


def listening_sockets(server: Any) -> Iterator[BaseWSGIServer]:
    """A name with several addresses is several sockets."""
    sockets = server.map if isinstance(server, MultiSocketServer) else server._map
    yield from [one for one in sockets.values() if isinstance(one, BaseWSGIServer)]


def untaken_bytes(channel: Channel) -> int:
    """What the system has taken from us and the client has not acknowledged; 0 where nobody says."""
    if termios is None or channel.socket is None:
        return 0
    try:
        answer = fcntl.ioctl(channel.socket.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", answer)[0])


def _maintain(
    listening: BaseWSGIServer, maintain: Callable[[float], None], clients: StalledClients, now: float
) -> None:
    maintain(now)
    for channel in clients.look(list(listening.active_channels.values())):
        logger.info(
            "%s took no byte of its answer for a while and is disconnected.",
            channel.addr[0],
            extra={"event": "site.client_stalled", "address": channel.addr[0]},
        )
        if channel.socket is not None:
            channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        channel.will_close = True
        # Its files are closed, and a thread that waits for room learns that nobody is there.
        channel.handle_close()
