"""A real proxy in front of a WebUI, which answers generation requests in the WebUI's place when a test says so.

    with proxy_before(simulator.url, Interference(504, after_s=0.5)) as proxy:
        ...

Like the proxies of the world it lets the WebUI go on with a request that it has itself given up.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from tests.free_ports import free_port

GENERATE = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/sdapi/v1/extra-single-image")
PAGE = "<html><head><title>{status} of a proxy</title></head><body>nginx</body></html>"
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Interference:
    """What becomes of one generation request: `status`, `after_s` from when the WebUI has it, or when that has answered
    (None).

    `forwards` False: the WebUI never hears of it.
    """

    status: int
    after_s: float | None = 0.0
    forwards: bool = True
    body: str = ""
    content_type: str = "text/html"
    location: str = ""


class Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        behind: str,
        always: Interference | None,
        first: tuple[Interference, ...],
        port: int = 0,
        hidden: str = "",
        heard: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", port or free_port()), _Handler)
        self._open: set[socket.socket] = set()
        self.behind = behind
        self.always = always
        self.hidden = hidden
        self.heard = heard
        self.first = list(first)
        self.posts = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def next_interference(self) -> Interference | None:
        self.posts += 1
        return self.first.pop(0) if self.first else self.always

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        self._open.add(accepted)
        return accepted, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who has asked may have gone, or been cut off."""

    def cut(self) -> None:
        """Whatever is under way is cut off."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        interference = self.server.next_interference() if self.path in GENERATE else None
        if interference is None:
            self._pass_on()
        else:
            self._interfere(interference)

    def _interfere(self, interference: Interference) -> None:
        body = self._body()
        if interference.forwards:
            behind = threading.Thread(target=self._forward, args=(body,), daemon=True)
            heard = self.server.heard
            before = heard() if heard else 0
            behind.start()
            until_s = time.monotonic() + PATIENCE_S
            while heard and heard() == before and behind.is_alive() and time.monotonic() < until_s:
                time.sleep(0.01)
            behind.join(PATIENCE_S if interference.after_s is None else interference.after_s)
        words = interference.body or PAGE.format(status=interference.status)
        self._say(interference.status, interference.content_type, words.encode(), interference.location)

    def _forward(self, body: bytes) -> None:
        """Nobody waits for this answer: the WebUI may end before it comes."""
        with suppress(requests.RequestException):
            self._ask(body)

    def _pass_on(self) -> None:
        if self.server.hidden and self.path.startswith(self.server.hidden):
            self._say(404, "application/json", b'{"detail": "Not Found"}')
            return
        try:
            answer = self._ask(self._body())
        except requests.RequestException:
            self._say(502, "text/html", PAGE.format(status=502).encode())
        else:
            self._say(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _ask(self, body: bytes) -> requests.Response:
        return requests.request(
            self.command,
            self.server.behind + self.path,
            data=body,
            headers={"Content-Type": self.headers.get("Content-Type") or ""},
            timeout=PATIENCE_S,
        )

    def _say(self, status: int, content_type: str, body: bytes, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        pass


@contextmanager
def proxy_before(
    behind: str,
    *first: Interference,
    always: Interference | None = None,
    port: int = 0,
    hidden: str = "",
    heard: Callable[[], int] | None = None,
) -> Iterator[Proxy]:
    """`first` strike one generation request each, `always` every later one; what is below `hidden` is not offered.

    `heard` tells how many generation requests the WebUI has got: without it, one that was sent there counts as heard.
    """
    proxy = Proxy(behind, always, first, port, hidden, heard)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        proxy.cut()
        thread.join(PATIENCE_S)
