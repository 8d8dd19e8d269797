"""HTTP/1.1 on a socket for a worker: bodies are read in bounded pieces, answers are written in one."""

from __future__ import annotations

import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from webui.simulator.arrival import ArrivalEnding
from webui.simulator.films import endpoints
from webui.simulator.films.answers import ConnectionDropError, SimulatedReply, TurnedAwayError, WorkerCall
from webui.simulator.films.worker import SimulatedWorker
from webui.simulator.listening import ListeningServer

SILENCE_S = 30
PIECE_BYTES = 64 * 1024
LINGER_S, LINGER_BYTES = 2.0, 16 * 1024 * 1024
"""How long and how much is still read from a client that was refused while it sends: it should see the answer."""
LONGEST_CHUNK_LINE = 1024


class SimulatedWorkerServer(ListeningServer):
    """A simulated worker of films or edits."""

    request_queue_size = 256

    def __init__(self, address: tuple[str, int], worker: SimulatedWorker) -> None:
        """Binds and listens. Raises OSError where the port is taken."""
        super().__init__(address, _Connection)
        self.worker = worker


class _Connection(BaseHTTPRequestHandler):
    """One client connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "stablenew-simulator"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = SILENCE_S
    server: SimulatedWorkerServer

    def do_GET(self) -> None:
        self._is_chunked = "transfer-encoding" in self.headers
        length = self.headers.get("Content-Length", "")
        self._has_length = length.isascii() and length.isdigit() and not self._is_chunked
        self._length = int(length) if self._has_length else 0
        self._received = b""
        self._is_unread = self._is_chunked or self._length > 0
        called = WorkerCall(
            self.command,
            urlsplit(self.path).path,
            {name.lower(): value for name, value in self.headers.items()},
        )
        try:
            answer = endpoints.answer(self.server.worker, called, self)
        except ConnectionDropError:
            self._note(called, None)
            self.close_connection = True
            return
        self._note(called, None if answer.ending is not ArrivalEnding.WHOLE else answer.status)
        self._send(answer)
        answer.when_sent()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET  # noqa: N815 - names set by http.server

    def _note(self, called: WorkerCall, status: int | None) -> None:
        self.server.worker.journal.request(called.method, called.path, self._received, status)

    # --- bodies ---------------------------------------------------------------------------------------

    def read(self, most: int, *, may_be_chunked: bool) -> bytes:
        """The body. Raises TurnedAwayError 411, or 413 as soon as it is known to be longer than `most` bytes."""
        if self._is_chunked and may_be_chunked:
            self._received = self._read_chunks(most)
        elif not self._has_length:
            raise TurnedAwayError(411, "no_length", "A body needs Content-Length.", closes=True)
        elif self._length > most:
            raise _too_large(most)
        else:
            self._received = self._read_exactly(self._length)
        self._is_unread = False
        return self._received

    def _read_chunks(self, most: int) -> bytes:
        content = bytearray()
        while True:
            line = self.rfile.readline(LONGEST_CHUNK_LINE).split(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError:
                raise TurnedAwayError(400, "bad_chunk", "A chunk has no size.", closes=True) from None
            if size < 0 or len(content) + size > most:
                raise _too_large(most)
            if size == 0:
                break
            content += self._read_exactly(size)
            self.rfile.readline(LONGEST_CHUNK_LINE)
        while self.rfile.readline(LONGEST_CHUNK_LINE).strip():
            pass
        return bytes(content)

    def _read_exactly(self, size: int) -> bytes:
        """Raises OSError where the client goes away or is silent for too long."""
        pieces = []
        while size:
            piece = self.rfile.read(min(size, PIECE_BYTES))
            if not piece:
                raise ConnectionResetError("the client went away")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    # --- answers --------------------------------------------------------------------------------------

    def _send(self, answer: SimulatedReply) -> None:
        closes = answer.closes or self._is_unread or answer.ending is not ArrivalEnding.WHOLE
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"Content-Length: {len(answer.body)}", f"Content-Type: {answer.content_type}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        lines += ["Connection: close"] if closes else []
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        body = b"" if self.command == "HEAD" else answer.body
        body = body[: len(body) // 2] if answer.ending is ArrivalEnding.HALF else body
        self.wfile.write(head + body)
        self.close_connection = self.close_connection or closes
        if self._is_unread:
            self._linger()

    def _linger(self) -> None:
        """Read a while what the client still sends; closing at once would take the answer away from it."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        deadline, left = time.monotonic() + LINGER_S, LINGER_BYTES
        while left > 0 and (remaining := deadline - time.monotonic()) > 0:
            self.connection.settimeout(remaining)
            try:
                piece = self.connection.recv(PIECE_BYTES)
            except OSError:
                return
            if not piece:
                return
            left -= len(piece)

    def log_message(self, *args: object) -> None:
        """Silence: the log has one line per job."""


def _too_large(most: int) -> TurnedAwayError:
    return TurnedAwayError(413, "too_large", f"The body has more than {most:,} bytes.", closes=True)
