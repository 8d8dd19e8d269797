"""A web server with more connections than others allow: it asks for descriptors, and without them it waits."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server

from stablenew_site.management.commands.serve import (
    ACCEPT_AGAIN_S,
    CONNECTIONS,
    OTHER_DESCRIPTORS,
    connection_limit,
    wait_for_descriptors,
)
from tests.free_ports import free_port
from tests.promises import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTORS = 48
#: Descriptors that many systems give at first, a tenth of them.
FEW = 128
THREW = "accept() threw an exception"


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ECONNRESET])
def test_accept_waits_where_nothing_is_free_and_only_there(host: str, code: int) -> None:
    listen = f"127.0.0.1:{free_port()} {host}:{free_port()}"
    server: Any = create_server(app, listen=listen)
    waited: list[float] = []
    try:
        wait_for_descriptors(server, waited.append)
        for one in [one for one in server.map.values() if hasattr(one, "effective_port")]:
            real, one.socket = one.socket, _Broken(code)
            one.handle_accept()
            one.socket = real
    finally:
        server.close()
    assert waited == ([] if code == errno.ECONNRESET else [ACCEPT_AGAIN_S] * 2)


class _Broken:
    def __init__(self, code: int) -> None:
        self._code = code

    def accept(self) -> None:
        raise OSError(self._code, os.strerror(self._code))


@contextmanager
def serving(folder: Path, *before: str) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A real web server, perhaps `before`: run by another program; its process, port and log."""
    port, log = free_port(), folder / "web.log"
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    env["STABLENEW_DATA_DIR"] = str(folder / "data")
    run = [*before, sys.executable, "-P", "-m", "stablenew_site", "serve", "--port", str(port)]
    with open(log, "wb") as out:
        server = subprocess.Popen(
            run,
            env={**env, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
            cwd=folder,
            start_new_session=True,
        )
    try:
        _wait(lambda: "Serving" in log.read_text())
        yield server, port, log
    finally:
        server.terminate()
        server.wait()


def test_many_browsers_that_keep_their_connections_open_shut_nobody_out(tmp_path: Path) -> None:
    fewer = ("bash", "-c", f'ulimit -Sn {FEW} && exec "$@"', "bash")
    with serving(tmp_path, *fewer) as (_, port, _log), ExitStack() as kept:
        for _ in range(2 * FEW):
            kept.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
        _wait(lambda: _answers(port))


def test_a_server_takes_no_more_connections_than_it_has_descriptors_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []
    limits = (256, 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, wanted: asked.append(wanted))
    assert connection_limit() == 1000 - OTHER_DESCRIPTORS
    limits = (256, resource.RLIM_INFINITY)
    assert connection_limit() == CONNECTIONS
    limits = (100_000, 100_000)
    assert connection_limit() == CONNECTIONS
    assert asked == [(1000, 1000), (CONNECTIONS + OTHER_DESCRIPTORS, resource.RLIM_INFINITY)]

    def refuses(which: int, wanted: tuple[int, int]) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(resource, "setrlimit", refuses)
    limits = (256, 1000)
    assert connection_limit() == 256 - OTHER_DESCRIPTORS


def test_a_server_without_descriptors_tells_it_a_few_times_and_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, port, log), ExitStack() as kept:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

        def crowd() -> bool:
            with suppress(OSError):
                kept.enter_context(socket.create_connection(("127.0.0.1", port), timeout=2))
            return THREW in log.read_text()

        _wait(crowd)
        # It goes round in its circle for a while.
        before = _switches(server.pid)
        _wait(lambda: _switches(server.pid) > before + 20)
        lines = log.read_text().count(THREW)
        kept.close()
        _wait(lambda: _answers(port))
    assert 1 <= lines <= 10


def _switches(pid: int) -> int:
    """How often its main thread slept: once for each turn of the circle."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)
