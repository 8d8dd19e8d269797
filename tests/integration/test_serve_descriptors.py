"""A web server that has no descriptor left: its log stays small, and it answers again when some are free."""

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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server

from stablenew_site.management.commands.serve import ACCEPT_AGAIN_S, wait_for_descriptors
from tests.free_ports import free_port
from tests.promises import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTORS = 48
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


def test_a_server_without_descriptors_tells_it_a_few_times_and_comes_back(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "web.log"
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    env["STABLENEW_DATA_DIR"] = str(tmp_path / "data")
    run = [sys.executable, "-P", "-m", "stablenew_site", "serve", "--port", str(port)]
    with open(log, "wb") as out:
        server = subprocess.Popen(
            run,
            env={**env, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
            cwd=tmp_path,
            start_new_session=True,
        )
    held: list[socket.socket] = []
    try:
        _wait(lambda: "Serving" in log.read_text())
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

        def crowd() -> bool:
            with suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", port), timeout=2))
            return THREW in log.read_text()

        _wait(crowd)
        # It goes round in its circle for a while.
        before = _switches(server.pid)
        _wait(lambda: _switches(server.pid) > before + 20)
        lines = log.read_text().count(THREW)
        for one in held:
            one.close()
        held.clear()
        _wait(lambda: _answers(port))
    finally:
        for one in held:
            one.close()
        server.terminate()
        server.wait()
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
