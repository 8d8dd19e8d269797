"""Keepers at work in a test: nodes served by real programs, and nothing of them left afterwards."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pytest_django import Settings

from tests.free_ports import free_port
from tests.promises import PATIENCE_S
from webui.keeper.keeper import Keeper
from webui.models import Node, NodeState
from webui.nodes import adding
from webui.processes import process

ROOT = Path(__file__).parents[1]
FAST_RELOOK_S = 0.6

#: A server without the API, on the port of its first argument.
OTHER_SERVER = (
    "import http.server as h, sys; "
    "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.BaseHTTPRequestHandler).serve_forever()"
)

#: A WebUI that nobody gave --api: its page is there, and its web framework knows no other path.
PAGE_WITHOUT_API = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        there = self.path == "/"
        body = b"<!doctype html><title>Stable Diffusion</title>" if there else b'{"detail":"Not Found"}'
        self.send_response(200 if there else 404)
        self.send_header("Content-Type", "text/html" if there else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


class KeeperStand:
    """Adds nodes and runs keepers on them; at its end every thread is joined and every process ended."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        settings.STABLENEW_LOG_DIR = folder / "logs"
        settings.STABLENEW_PROCESS_DIR = folder / "processes"
        settings.STABLENEW_SETTLE_S = 0.2
        settings.STABLENEW_STOP_GRACE_S = 1.0
        settings.STABLENEW_READY_TIMEOUT_S = 60.0
        self.folder = folder
        self.settings = settings
        self.readies: list[int] = []
        self.busy = threading.Event()
        self.is_busy: Callable[[], bool] = self.busy.is_set
        self._keepers: list[Keeper] = []
        self._identities: set[process.Identity] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for keeper in self._keepers:
            keeper.stop(stop_webui=False, deadline_s=PATIENCE_S)
        for node in Node.objects.all():
            self.seen(node)
        for identity in self._identities:
            process.end(identity, grace_s=0)

    def seen(self, node: Node) -> Node:
        """Remembers the boot of this row, so that it is ended whatever happens to the row."""
        if node.nonce:
            self._identities.add(process.identity_of(node))
        return node

    def simulator(self, *options: str, port: int | None = None, **fields: object) -> Node:
        """A managed node whose WebUI is the simulator, like somebody's own start command."""
        port = port or free_port()
        command = shlex.join([sys.executable, "-m", "webui.simulator", "--port", str(port), *options])
        return self.node(command, port=port, **fields)

    def node(self, command: str = "", *, port: int | None = None, **fields: object) -> Node:
        port = port or free_port()
        name = f"node{Node.objects.count() + 1}"
        values: dict[str, object] = {"start_command": command, "working_directory": str(ROOT), **fields}
        return adding.add_node(name, f"http://127.0.0.1:{port}", **values)  # type: ignore[arg-type]

    def keeper(
        self,
        node: Node,
        *,
        relook_s: float = FAST_RELOOK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> Keeper:
        keeper = Keeper(
            node.pk,
            on_ready=lambda: self.readies.append(node.pk),
            is_busy=lambda: self.is_busy(),
            clock=clock,
            look_every_s=0.05,
            relook_s=relook_s,
        )
        self._keepers.append(keeper)
        return keeper

    def start(self, node: Node) -> Keeper:
        """A keeper's thread at work."""
        keeper = self.keeper(node)
        keeper.start()
        return keeper

    def start_until_ready(self, node: Node) -> Keeper:
        keeper = self.start(node)
        self.wait(node, NodeState.READY)
        return keeper

    def wait(
        self,
        node: Node,
        state: NodeState,
        *,
        where: Callable[[Node], bool] = lambda node: True,
        timeout_s: float = PATIENCE_S,
    ) -> Node:
        """Until the row has this state (and fulfils `where`); the row is read into `node`."""
        deadline = time.monotonic() + timeout_s
        while True:
            node.refresh_from_db()
            self.seen(node)
            if node.state == state and where(node):
                return node
            assert time.monotonic() < deadline, f"{node.state}, not {state}: {node.state_reason}"
            time.sleep(0.02)

    def wait_wish(self, node: Node, timeout_s: float = PATIENCE_S) -> None:
        """Until somebody has wished something, or it has been heeded already."""
        generation, deadline = node.generation, time.monotonic() + timeout_s
        while not node.wish and node.generation == generation:
            assert time.monotonic() < deadline
            node.refresh_from_db()

    def wait_readies(self, *node_ids: int) -> None:
        """Until the keepers have told of exactly these nodes, in this order, that they became READY.

        They tell it after the row has said so.
        """
        deadline = time.monotonic() + PATIENCE_S
        while self.readies != list(node_ids):
            assert len(self.readies) <= len(node_ids), self.readies
            assert time.monotonic() < deadline, self.readies
            time.sleep(0.02)

    def kill(self, node: Node) -> None:
        """Its WebUI dies; it is dead when this returns."""
        assert node.pid is not None
        os.kill(node.pid, signal.SIGKILL)
        while is_running(node.pid):
            time.sleep(0.01)

    def stays(self, node: Node, state: NodeState, for_s: float = 0.6) -> None:
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline:
            node.refresh_from_db()
            assert node.state == state, node.state_reason
            time.sleep(0.02)

    def look_until(self, keeper: Keeper, node: Node, state: NodeState, timeout_s: float = PATIENCE_S) -> Node:
        """Looks in this thread, without the keeper's own."""
        deadline = time.monotonic() + timeout_s
        while True:
            keeper.look()
            node.refresh_from_db()
            self.seen(node)
            if node.state == state:
                return node
            assert time.monotonic() < deadline, f"{node.state}, not {state}: {node.state_reason}"
            time.sleep(0.02)


def is_running(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def journal_lines(journal: Path) -> list[dict[str, object]]:
    if not journal.exists():
        return []
    # The last line may be half written: it belongs to the next look.
    return [json.loads(line) for line in journal.read_text().rpartition("\n")[0].splitlines()]
