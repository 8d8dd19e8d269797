"""`manage.py up`: the whole system of one machine, from an empty folder to a running queue."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, Error, connection

from jobs.cli import database_sentence
from jobs.errors import NodeBusyError
from jobs.supervising.clearing import clear_queue
from stablenew_site.children import command_line, environment
from stablenew_site.data_folder import DataFolderError, check_port, held, prepare
from stablenew_site.management.commands.serve import port_number
from stablenew_site.supervisor import ChildSpec, Supervisor
from stablenew_site.upgrade import upgrade
from webui.checks import SETTINGS
from webui.http.ports import mask_command
from webui.models import Node, NodeState, Wish
from webui.nodes.adding import ensure_default_node, ensure_stand_ins
from webui.nodes.spec import NodeRefusedError
from webui.processes.process import end, family, identity_of
from webui.typed_command import typed
from webui.words import count, listed

ADMIN_NAME = "admin"
DRAIN_S = 10


class Command(BaseCommand):
    requires_system_checks = (SETTINGS,)
    help = (
        "Run the whole system on this machine until Ctrl-C: database, web server, and for each node its "
        "runner and its server (the embedded simulator where none is configured)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=port_number, default=8000, help="default: %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = str(options["host"]), int(options["port"])
        try:
            prepare(settings.STABLENEW_DATA_DIR)
            with held(settings.STABLENEW_DATA_DIR):
                check_port(host, port)
                self._say(f"Data folder: {settings.STABLENEW_DATA_DIR}")
                self._prepare_database()
                self._clear_queue()
                node = ensure_default_node()
                self._say(_node_sentence(node))
                if stand_ins := ensure_stand_ins():
                    self._say(_stand_ins_sentence(stand_ins))
                self._run(host, port)
        except (DataFolderError, NodeBusyError, NodeRefusedError) as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(database_sentence(exc)) from exc

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _prepare_database(self) -> None:
        upgrade(self.stdout)
        # Nobody else removes the logins that have run out.
        call_command("clearsessions")
        if not User.objects.filter(is_superuser=True).exists():
            password = secrets.token_urlsafe(12)
            User.objects.create_superuser(ADMIN_NAME, password=password)
            self._say(f"First admin: user name {ADMIN_NAME}, password {password} (shown only now)")

    def _clear_queue(self) -> None:
        """Here alone: a child that is started again clears nothing."""
        if settings.STABLENEW_CLEAR_ON_START:
            cleared = clear_queue(self._say)
            self._say(
                f"The queue is clear, as STABLENEW_CLEAR_ON_START says: {count(cleared, 'job')} cancelled."
            )

    def _run(self, host: str, port: int) -> None:
        supervisor = Supervisor(env=environment(), say=self._say)
        supervisor.add(_web_server(host, port))
        supervisor.look = _Watch(self._say, host, port, supervisor).look
        supervisor.look()
        with _nothing_left_behind(self._say):
            clean = supervisor.run()
        if not clean:
            raise CommandError("Something did not stop in time and was killed; see the lines above.")


def _web_server(host: str, port: int) -> ChildSpec:
    log: Path = settings.STABLENEW_LOG_DIR / "web.log"
    argv = command_line("serve", "--host", host, "--port", str(port), "--with-parent")
    return ChildSpec("web server", argv, log)


def _runner(node: Node) -> ChildSpec:
    argv = command_line("run_node", node.name, "--drain", str(DRAIN_S), "--stop-webui", "--with-parent")
    log: Path = settings.STABLENEW_LOG_DIR / f"node-{node.name}.log"
    return ChildSpec(f"runner of node {node.name}", argv, log, stops_first=True)


def _node_sentence(node: Node) -> str:
    if node.simulated:
        return (
            "SIMULATED: no WebUI is configured, so an embedded simulator draws the pictures. "
            "Set STABLENEW_WEBUI_URL or STABLENEW_WEBUI_COMMAND for a real one."
        )
    if node.managed:
        return f"Node {node.name}: a WebUI started by “{mask_command(node.start_command)}”, expected at {node.base_url}"
    return f"Node {node.name}: the WebUI that somebody else keeps running at {node.base_url}"


def _stand_ins_sentence(nodes: Sequence[Node]) -> str:
    kinds = listed(node.get_kind_display().lower() for node in nodes)
    return (
        f"SIMULATED: no worker is known for {kinds}, so embedded simulators make them "
        f"({listed(node.name for node in nodes)}). Add a real worker with: {typed('node add NAME URL --config FILE')}"
    )


class _Watch:
    """Tells when the pages answer and how the nodes change; a new node gets its runner, a removed one loses it."""

    def __init__(self, say: Callable[[str], None], host: str, port: int, supervisor: Supervisor) -> None:
        self._say = say
        self._supervisor = supervisor
        self._address = ("127.0.0.1" if host in ("0.0.0.0", "") else host, port)  # noqa: S104
        self._listening = False
        self._states: dict[int, tuple[str, str]] = {}
        self._runners: dict[int, ChildSpec] = {}

    def look(self) -> None:
        listening = self._accepts()
        if listening and not self._listening:
            self._say("StableNew is at http://{}:{}/ (Ctrl-C stops everything)".format(*self._address))
        self._listening = listening
        try:
            nodes = list(Node.objects.order_by("name"))
        except Error:
            # The children meet the same and say so in their logs; the next look may succeed.
            connection.close()
            return
        for node in nodes:
            if node.pk not in self._runners:
                self._runners[node.pk] = _runner(node)
                self._supervisor.add(self._runners[node.pk])
            if self._states.get(node.pk) != (node.state, node.state_reason):
                self._states[node.pk] = (node.state, node.state_reason)
                self._say(_state_sentence(node))
        for gone in self._runners.keys() - {node.pk for node in nodes}:
            runner = self._runners.pop(gone)
            self._supervisor.retire(runner)
            self._say(f"Its node was removed: the {runner.name} ends.")

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(self._address, timeout=0.5):
                return True
        except OSError:
            return False


def _state_sentence(node: Node) -> str:
    kind = " (simulated)" if node.simulated else ""
    if node.state == NodeState.STOPPED and node.wish != Wish.STOP:
        # So it stands from before, and its runner comes just now.
        return f"Node {node.name}{kind} is about to {'start' if node.managed else 'be looked for'}."
    where = f" at {node.base_url}" if node.state == NodeState.READY else ""
    reason = f": {node.state_reason}" if node.state_reason else ""
    return f"Node {node.name}{kind} is {node.state}{where}{reason}"


@contextmanager
def _nothing_left_behind(say: Callable[[str], None]) -> Iterator[None]:
    """A runner stops its server itself; when it was killed before it could, this does."""
    try:
        yield
    finally:
        for node in Node.objects.exclude(start_command="").exclude(nonce=""):
            identity = identity_of(node)
            if family(identity):
                say(f"The WebUI of node {node.name} was left running and is stopped.")
                end(identity, grace_s=1.0)
