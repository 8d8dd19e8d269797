"""Clients that stop reading: their connections, files and threads are free again; slow ones are served."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from waitress.server import create_server

from stablenew_site.stalled_clients import StalledClients, disconnect_stalled, untaken_bytes
from tests.integration.test_serve_descriptors import serving
from tests.promises import PATIENCE_S

#: More than the buffers between two processes hold, of which a client's would grow as it reads.
SIZE = 64 * 1024**2
CLIENT_BUFFER = 1024**2
LIMIT_S = 60
STALLED = "site.client_stalled"


class Answers:
    """An application with a large file and an answer without an end; knows what is open."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.opened: list[Any] = []
        self.ended = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/file":
            start_response("200 OK", [("Content-Length", str(SIZE))])
            self.opened.append(self._file.open("rb"))
            return environ["wsgi.file_wrapper"](self.opened[-1])
        if environ["PATH_INFO"] == "/pieces":
            start_response("200 OK", [])
            return self._pieces()
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def _pieces(self) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(65_536)
        finally:
            self.ended.set()


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    file = tmp_path / "film.mp4"
    file.write_bytes(bytes(SIZE))
    return Answers(file)


class Clock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pass_until(self, done: Callable[[], object]) -> None:
        """An hour goes by at each look."""

        def later() -> object:
            self.now_s += 3600
            return done()

        wait(later)


@contextmanager
def served(answers: Answers, clock: Clock, limit_s: float = LIMIT_S) -> Iterator[Any]:
    server: Any = create_server(
        answers, host="127.0.0.1", port=0, threads=1, cleanup_interval=0, asyncore_use_poll=True
    )
    disconnect_stalled(server, limit_s, clock)
    leave = threading.Event()
    thread = threading.Thread(target=_run, args=(server, leave))
    thread.start()
    try:
        yield server
    finally:
        leave.set()
        server.pull_trigger()
        thread.join()
        server.task_dispatcher.shutdown()
        server.close()


def _run(server: Any, leave: threading.Event) -> None:
    while not leave.is_set():
        server.asyncore.loop(timeout=0.2, map=server._map, use_poll=True, count=1)


def ask(port: int, path: str) -> socket.socket:
    """A client that has asked and seen the first bytes of its answer."""
    client = socket.socket()
    client.settimeout(PATIENCE_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CLIENT_BUFFER)
    client.connect(("127.0.0.1", int(port)))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    assert client.recv(12) == b"HTTP/1.1 200"
    return client


def read(client: socket.socket, size: int) -> bytes:
    """At least so many bytes."""
    got = bytearray()
    while len(got) < size:
        piece = client.recv(1_000_000)
        assert piece, "the connection has ended"
        got += piece
    return bytes(got)


def wait(done: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_client_that_stops_reading_a_file_loses_its_connection_and_the_file_is_closed(
    answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("stablenew_site")
    logger.addHandler(caplog.handler)
    clock = Clock()
    try:
        with served(answers, clock) as server, ask(server.effective_port, "/file") as client:
            [file] = answers.opened
            clock.pass_until(lambda: file.closed)
            wait(lambda: not server.active_channels)
            with pytest.raises(ConnectionResetError):
                read(client, SIZE)
    finally:
        logger.removeHandler(caplog.handler)
    assert STALLED in [record.__dict__.get("event") for record in caplog.records]


def test_the_thread_that_makes_an_answer_for_such_a_client_serves_others_again(answers: Answers) -> None:
    clock = Clock()
    with served(answers, clock) as server, ask(server.effective_port, "/pieces"):
        clock.pass_until(answers.ended.is_set)
        # There is one thread: whoever comes next would wait for it.
        with ask(server.effective_port, "/") as other:
            assert read(other, 1)


def test_a_client_that_reads_gets_its_whole_file_however_slowly(answers: Answers) -> None:
    clock = Clock()
    with served(answers, clock, limit_s=0) as server, ask(server.effective_port, "/file") as client:
        [channel] = server.active_channels.values()
        clients, got = StalledClients(60, clock), 0

        def stand() -> tuple[float, int, int]:
            return channel.last_activity, channel.total_outbufs_len, untaken_bytes(channel)

        def moved(before: tuple[float, int, int]) -> bool:
            activity, unsent, untaken = stand()
            return activity != before[0] or unsent < before[1] or untaken < before[2]

        while got < SIZE // 2:
            before = stand()
            assert clients.look([channel]) == []
            got += len(read(client, SIZE // 8))
            wait(partial(moved, before))
            clock.now_s += 59
        clock.pass_until(lambda: clients.look([channel]))
        read(client, SIZE - got)


def test_connections_that_wait_for_nothing_stay(answers: Answers) -> None:
    clock = Clock()
    with served(answers, clock) as server, ExitStack() as kept:
        idle = kept.enter_context(ask(server.effective_port, "/"))
        # Head and body may come one after the other.
        while not read(idle, 1).endswith(b"ok"):
            pass
        kept.enter_context(ask(server.effective_port, "/file"))
        clock.pass_until(lambda: answers.opened and answers.opened[0].closed)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert read(idle, 12).startswith(b"HTTP/1.1 200")


class Connection:
    """A connection without a socket: the system says nothing of what its client has still to take."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.addr: Any = ("here", 1)
        self.last_activity, self.total_outbufs_len, self.will_close = 0.0, 1, False

    def handle_close(self) -> None:
        raise AssertionError("nobody closes while it looks")


def test_what_leaves_in_one_long_write_moves() -> None:
    """The web server notes the activity of a connection when a write ends."""
    now = [0.0]
    clients, taking = StalledClients(60, lambda: now[0]), Connection()
    for now[0] in (0, 59, 118, 177):
        taking.total_outbufs_len = 1_000 - int(now[0])
        assert clients.look([taking]) == []
    now[0] = 237
    assert clients.look([taking]) == [taking]


def test_only_what_does_not_move_for_the_whole_limit_is_stalled() -> None:
    now = [0.0]
    clients = StalledClients(60, lambda: now[0])
    moving, still = Connection(), Connection()
    seen = []
    for now[0] in (0, 30, 59, 60, 90):
        moving.last_activity = now[0]
        seen.append(clients.look([moving, still]))
    assert seen == [[], [], [], [still], []]
    # As if it had come anew: looked at from now on.
    still.total_outbufs_len = 0
    now[0] = 200
    assert clients.look([still]) == []
    still.total_outbufs_len = 1
    now[0] = 210
    assert clients.look([still]) == []
    now[0] = 270
    assert clients.look([still]) == [still]


def test_without_a_limit_nobody_is_looked_at(answers: Answers) -> None:
    server: Any = create_server(answers, host="127.0.0.1", port=0)
    try:
        before = server.maintenance
        disconnect_stalled(server, 0)
        assert server.maintenance == before
    finally:
        server.close()


def test_the_web_server_drops_a_client_whose_answer_lies_with_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to write, and the client takes nothing of what was written."""
    monkeypatch.setenv("STABLENEW_STALL_LIMIT_S", "1")
    with serving(tmp_path) as (server, port, log), socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /static/css/components.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait(lambda: "127.0.0.1 took no byte of its answer" in log.read_text())
        connections = psutil.Process(server.pid).net_connections
        wait(lambda: client.getsockname() not in [one.raddr for one in connections("tcp")])
