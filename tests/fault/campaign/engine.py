"""Which process of an installation is what: `up`, web server, and for each node its run_node and the engine's parts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

import psutil

from tests.fault.campaign.installation import Installation

#: In the order in which a sentinel forks them.
PARTS = ("worker", "monitor", "pusher")
NODE_VARIABLE = "STABLENEW_NODE"


class Processes:
    """Finds processes by what they are; remembers the engine's parts, whose command lines are all alike."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._node_ids: dict[str, int] = {}
        self._parts: dict[int, dict[str, psutil.Process]] = {}

    # --- finding --------------------------------------------------------------------------------------

    def up(self) -> psutil.Process | None:
        process = self._installation.up
        return _living(process.pid) if process is not None and process.poll() is None else None

    def web_server(self) -> psutil.Process | None:
        return next((child for child in self._children_of_up() if "serve" in child.cmdline()), None)

    def run_node(self, node: str) -> psutil.Process | None:
        """The main process; the others of its kind are its forks."""
        return next(
            (child for child in self._children_of_up() if _words_of(child)[1:3] == ["run_node", node]), None
        )

    def sentinel(self, node: str) -> psutil.Process | None:
        main = self.run_node(node)
        if main is None:
            return None
        with suppress(psutil.Error):
            return next(
                (child for child in main.children() if not _gone(child) and "run_node" in child.cmdline()),
                None,
            )
        return None

    def part(self, node: str, role: str) -> psutil.Process | None:
        """`worker`, `monitor` or `pusher` of the node's engine."""
        sentinel = self.sentinel(node)
        return self._parts_of(sentinel).get(role) if sentinel is not None else None

    def _parts_of(self, sentinel: psutil.Process) -> dict[str, psutil.Process]:
        """A part that is gone has been replaced by the newest child that has no role yet."""
        known = self._parts.setdefault(sentinel.pid, {})
        try:
            children = sorted(sentinel.children(), key=lambda child: child.create_time())
        except psutil.Error:
            return {}
        living = [child for child in children if not _gone(child)]
        for role, process in list(known.items()):
            if process not in living:
                del known[role]
        fresh = [child for child in living if child not in known.values()]
        vacant = [role for role in PARTS if role not in known]
        if len(fresh) == len(vacant):
            known.update(zip(vacant, fresh, strict=True))
        return known

    def _children_of_up(self) -> list[psutil.Process]:
        up = self.up()
        with suppress(psutil.Error):
            return [child for child in up.children() if not _gone(child)] if up is not None else []
        return []

    def webuis(self, node: str) -> list[psutil.Process]:
        """The simulators of this node that its keeper started and that live now."""
        mark = f"{self._node_id(node)}:"
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self._installation.journal(node)) not in process.cmdline() or _gone(process):
                    continue
                if process.environ().get(NODE_VARIABLE, "").startswith(mark):
                    found.append(process)
        return found

    def webui(self, node: str) -> psutil.Process | None:
        return next(iter(self.webuis(node)), None)

    def _node_id(self, node: str) -> int:
        if node not in self._node_ids:
            self._node_ids = {
                name: pk for pk, name in self._installation.rows("SELECT id, name FROM webui_node")
            }
        return self._node_ids.get(node, -1)

    def doubled(self) -> list[str]:
        """Sentences about nodes that have two living WebUIs of ours at this very moment."""
        told = []
        for node in self._installation.lineup.nodes:
            found = self.webuis(node)
            # The scan takes a while: the first may have ended before the second began.
            living = [process for process in found if not _gone(process)] if len(found) > 1 else []
            if len(living) > 1:
                told.append(f"Node {node} had two WebUIs of ours: processes {[one.pid for one in living]}.")
        return told

    def everything_of_ours(self) -> list[psutil.Process]:
        """`up`, web server, run_nodes and their forks; not the WebUIs."""
        return [process for process in self._installation.living() if _words_of(process)]


def kill(processes: Iterable[psutil.Process | None]) -> int:
    """SIGKILL to each; how many there were."""
    struck = 0
    for process in processes:
        if process is not None and not _gone(process):
            with suppress(psutil.Error):
                process.kill()
                struck += 1
    return struck


def terminate_group(process: psutil.Process) -> bool:
    """TERM to the whole process group, as a closing terminal or a service manager sends it."""
    with suppress(ProcessLookupError, psutil.Error):
        os.killpg(os.getpgid(process.pid), signal.SIGTERM)
        return True
    return False


def _living(pid: int) -> psutil.Process | None:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return None if _gone(process) else process
    return None


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _words_of(process: psutil.Process) -> list[str]:
    """The command line from `manage.py` on, or from our module in what `up` starts; empty for others."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return []
    ours = ("manage.py", "stablenew_site")
    return next((words[index:] for index, word in enumerate(words) if word.endswith(ours)), [])
