"""HTTP/1.1 on a socket: who may ask, bounded bodies, bounded connections; `routes` decides what is answered."""

from __future__ import annotations

import hmac
import shutil
import socket
import socketserver
import sys
import threading
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import urlsplit

from webui.drivers.diffsynth.worker.answers import AnswerError, WorkerAnswer, json_answer
from webui.drivers.diffsynth.worker.routes import Routes

SILENCE_S: Final = 30.0
"""How long a client may send or take nothing before its connection is closed."""
MAX_CONNECTIONS: Final = 32
_PIECE_BYTES: Final = 64 * 1024
_MAX_DISCARDED_BYTES: Final = 64 * 1024 * 1024
_DISCARD_SILENCE_S: Final = 2.0
_MAX_CHUNK_LINE_BYTES: Final = 200
_MAX_TRAILERS: Final = 10


class WorkerServer(socketserver.ThreadingTCPServer):
    """A thread per connection, at most `MAX_CONNECTIONS`; they end with the process."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, token: str) -> None:
        """Binds and listens. Answers nothing before `routes` is set. Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.token = token.encode()
        self.routes: Routes | None = None
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), _Connection)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes | bytearray) else str(host)
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to tell of."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


class _Connection(BaseHTTPRequestHandler):
    """One client connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "stablenew-worker"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = SILENCE_S
    server: WorkerServer

    def do_GET(self) -> None:
        self._wants_continue = (self.headers.get("Expect") or "").lower() == "100-continue"
        self._has_unread_body = bool(
            self.headers.get("Transfer-Encoding") or (self.headers.get("Content-Length") or "0") != "0"
        )
        try:
            answer = self._answer()
        except AnswerError as exc:
            answer = exc.answer
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - a mistake of ours costs one answer, not the worker
            traceback.print_exc()
            message = "The worker made a mistake; its log has the details."
            answer = json_answer(500, {"error": {"code": "internal", "message": message}})
        self._send(answer)
        if answer.told is not None and self.server.routes:
            self.server.routes.worker.told(answer.told)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815 - names set by http.server

    def handle_expect_100(self) -> bool:
        """A client that asks first is told to go on only once its body is wanted."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses: a broken request line, too many headers, an unknown method."""
        self.close_connection = True
        words = message or HTTPStatus(code).phrase
        self._send(json_answer(code, {"error": {"code": "bad_request", "message": f"{words}."}}, closes=True))

    def _answer(self) -> WorkerAnswer:
        given = self.headers.get("Authorization") or ""
        expected = b"Bearer " + self.server.token
        if not hmac.compare_digest(given.encode("latin-1", "replace"), expected):
            message = "Give the token of this worker: Authorization: Bearer TOKEN."
            raise AnswerError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
        if self.server.routes is None:
            raise AnswerError(503, "starting", "The worker is just starting.")
        return self.server.routes.answer(self.command, urlsplit(self.path).path, self._read_body)

    def _read_body(self, most: int, limit: str, *, may_be_chunked: bool = False) -> bytes:
        """See `routes.ReadBody`. Raises OSError where the client goes away or falls silent."""
        lengths = self.headers.get_all("Content-Length") or []
        coding = self.headers.get("Transfer-Encoding")
        if coding is not None and may_be_chunked and not lengths and coding.strip().lower() == "chunked":
            self._go_on()
            content = self._read_chunks(most, limit)
        elif coding is not None or not lengths:
            raise AnswerError(411, "no_length", "Send the length of the body: Content-Length.")
        else:
            length = _whole_number(lengths)
            if length > most:
                raise AnswerError(413, "too_large", f"The body has {length:,} bytes. {limit}")
            self._go_on()
            content = self._read_exactly(length)
        self._has_unread_body = False
        return content

    def _go_on(self) -> None:
        if self._wants_continue:
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()

    def _read_chunks(self, most: int, limit: str) -> bytes:
        content = bytearray()
        while True:
            size = _chunk_size(self.rfile.readline(_MAX_CHUNK_LINE_BYTES))
            if len(content) + size > most:
                raise AnswerError(413, "too_large", f"The body is too long. {limit}")
            if size == 0:
                break
            content += self._read_exactly(size)
            self._read_exactly(len(b"\r\n"))
        # Trailers are of no use; a few are read over.
        for _ in range(_MAX_TRAILERS):
            if not self.rfile.readline(_MAX_CHUNK_LINE_BYTES).strip():
                return bytes(content)
        raise AnswerError(400, "bad_chunk", "There are too many trailers.")

    def _read_exactly(self, length: int) -> bytes:
        pieces = []
        while length:
            piece = self.rfile.read1(min(length, _PIECE_BYTES))
            if not piece:
                raise ConnectionError("the client went away in the middle of its body")
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _send(self, answer: WorkerAnswer) -> None:
        if answer.file is None:
            self._send_head(answer, len(answer.body))
            if self.command != "HEAD":
                self.wfile.write(answer.body)
        else:
            with answer.file.open("rb") as file:
                self._send_head(answer, file.seek(0, 2))
                file.seek(0)
                shutil.copyfileobj(file, self.wfile, _PIECE_BYTES)
        if self.close_connection:
            self._discard()

    def _send_head(self, answer: WorkerAnswer, length: int) -> None:
        if answer.closes or getattr(self, "_has_unread_body", False):
            self.close_connection = True
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.body or answer.file:
            self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _discard(self) -> None:
        """Read what the client still sends: a connection closed before would take the answer from it."""
        if not getattr(self, "_has_unread_body", False):
            return
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_DISCARD_SILENCE_S)
            left = _MAX_DISCARDED_BYTES
            while left > 0:
                piece = self.rfile.read1(_PIECE_BYTES)
                if not piece:
                    return
                left -= len(piece)
        except OSError:
            return

    def log_message(self, *args: object) -> None:
        """Silence: the log has a line for each job, not for each question."""


def _whole_number(lengths: list[str]) -> int:
    one = lengths[0].strip()
    if len(set(lengths)) != 1 or not one.isascii() or not one.isdecimal() or len(one) > 18:
        raise AnswerError(400, "bad_length", "Content-Length must be one whole number.")
    return int(one)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if (
        not line.endswith(b"\n")
        or not 1 <= len(digits) <= 15
        or not all(d in b"0123456789abcdefABCDEF" for d in digits)
    ):
        raise AnswerError(400, "bad_chunk", "A chunk of the body has no size.")
    return int(digits, 16)
