"""HTTP/1.1 on a socket: reads requests, hands them to the simulation, writes each answer in one piece."""

from __future__ import annotations

import gzip
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit

from webui.simulator.answers import SimulatedAnswer, not_found
from webui.simulator.arrival import Arrival, ArrivalEnding
from webui.simulator.listening import ListeningServer
from webui.simulator.log import say
from webui.simulator.simulation import ReceivedRequest, Simulation

GZIP_FROM_BYTES = 1000
KEEP_ALIVE_S = 5


class SimulatedServer(ListeningServer):
    """A simulated WebUI; whether its API is there yet is decided by `api_ready`."""

    request_queue_size = 2048

    def __init__(self, address: tuple[str, int], simulation: Simulation, *, api_ready: bool) -> None:
        """Binds and listens. Raises OSError where the port is taken."""
        super().__init__(address, _Connection)
        self.simulation = simulation
        self.api_ready = api_ready
        self.was_asked_too_early = False


class _Connection(BaseHTTPRequestHandler):
    """One client connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "uvicorn"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = KEEP_ALIVE_S
    server: SimulatedServer

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET  # noqa: N815 - names set by http.server

    def _serve(self) -> None:
        started_at = time.monotonic()
        request = self._read()
        if not self.server.api_ready:
            self.server.was_asked_too_early = True
            answer = not_found() if request.path.startswith("/sdapi/") else self._answer(request)
        else:
            answer = self._answer(request)
        self._finish(request, answer, time.monotonic() - started_at)

    def _answer(self, request: ReceivedRequest) -> SimulatedAnswer:
        return self.server.simulation.answer(request)

    def _read(self) -> ReceivedRequest:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        return ReceivedRequest(
            method=self.command,
            path=address.path,
            query=dict(parse_qsl(address.query)),
            content_type=self.headers.get("Content-Type"),
            authorization=self.headers.get("Authorization"),
            host=self.headers.get("Host") or f"127.0.0.1:{self.server.port}",
            body=self.rfile.read(length) if length else b"",
        )

    def _finish(self, request: ReceivedRequest, answer: SimulatedAnswer, seconds: float) -> None:
        """Note how the request ends, then send the answer: who has it may rely on the journal."""
        status = None if self._client_has_gone() else answer.status
        arrival = request.arrival
        if arrival:
            self._account(arrival, status)
        else:
            self.server.simulation.journal.request(request.method, request.path, request.body, status)
        if request.method == "POST":
            say(f"API {time.strftime('%Y-%m-%d %H:%M:%S')} {answer.status} POST {request.path} {seconds:.4f}")
        self._send(answer, seconds, arrival.ending if arrival else ArrivalEnding.WHOLE)

    def _account(self, arrival: Arrival, status: int | None) -> None:
        if status is None:
            arrival.account(None, "dropped")
        elif arrival.ending is not ArrivalEnding.WHOLE:
            arrival.account(None, "cut")
        else:
            arrival.account(status, arrival.outcome)

    def _client_has_gone(self) -> bool:
        """True once the other side has closed: its end of stream waits to be read."""
        self.connection.setblocking(False)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.connection.settimeout(self.timeout)

    def _send(self, answer: SimulatedAnswer, seconds: float, ending: ArrivalEnding) -> None:
        body = answer.body
        headers = [("server", "uvicorn"), *answer.headers]
        dialect = self.server.simulation.dialect
        wanted = dialect.packs_answers and "gzip" in (self.headers.get("Accept-Encoding") or "")
        if wanted and len(body) > GZIP_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers += [("content-encoding", "gzip"), ("vary", "Accept-Encoding")]
        headers += [("content-length", str(len(body)))]
        headers += [("content-type", answer.content_type)] if answer.content_type else []
        headers += [("x-process-time", f"{seconds:.4f}")] if answer.is_timed and dialect.tells_time else []
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        whole = head if self.command == "HEAD" else head + body
        parts = {
            ArrivalEnding.WHOLE: whole,
            ArrivalEnding.HALF: head + body[: len(body) // 2],
            ArrivalEnding.NOTHING: b"",
        }
        self.close_connection = self.close_connection or ending is not ArrivalEnding.WHOLE
        self.wfile.write(parts[ending])

    def log_message(self, *args: object) -> None:
        """Silence: the log has one line per job, written above."""
