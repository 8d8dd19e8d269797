"""An input picture that is sent in one request is never received beyond its limit, whether its length is told or not.

The web server (waitress) keeps a whole request before anybody sees it, and its own limit is one for all addresses.
What is too long goes to the view without its rest, which refuses it in words; then the connection is closed.
"""

from __future__ import annotations

from typing import Any, Final

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

from jobs.pages.uploads import most_bytes
from stablenew_site.stalled_clients import listening_sockets

ADDRESS: Final = "/inputs/"


class BoundedParser(HTTPRequestParser):
    """One request; that of an input picture ends where it is too long."""

    def received(self, data: bytes) -> int:
        """Bytes that were taken. Of a request that is too long nothing after them is read, as another one or at all."""
        taken: int = super().received(data)  # type: ignore[no-untyped-call]  # the server has no types
        if self.error or not self._is_upload or self._length <= self._most:
            return taken
        self.completed = True
        # Nobody is told to go on sending, and no further request is read from what was not taken.
        self.expect_continue = False
        self.headers |= {"CONNECTION": "close", "CONTENT_LENGTH": str(self._length)}
        return len(data)

    @property
    def _is_upload(self) -> bool:
        return self.body_rcv is not None and self.command == "POST" and self.path == ADDRESS

    @property
    def _most(self) -> int:
        return most_bytes(self.headers.get("CONTENT_TYPE", ""))

    @property
    def _length(self) -> int:
        """As it is told; else what has come so far."""
        received: Any = self.body_rcv
        return len(received) if self.chunked else int(self.content_length)


class BoundedChannel(HTTPChannel):
    """A connection whose requests are parsed so."""

    parser_class = BoundedParser


def bound_uploads(server: Any) -> None:
    """Before it takes connections."""
    for listening in listening_sockets(server):
        listening.channel_class = BoundedChannel
