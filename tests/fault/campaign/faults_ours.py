"""Faults that end, stop or freeze our own processes, as a crash, an administrator or the machine's memory does."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import psutil

from tests.fault.campaign.engine import PARTS, kill, terminate_group
from tests.fault.campaign.plan import Card
from tests.fault.campaign.scene import Scene

#: A frozen node is left so for another to take its job: a lease, the silence after it, and a look each half minute.
TAKEN_OVER_S = 55.0


def idle_worker(scene: Scene, node: str, card: Card) -> str | None:
    with scene.idle(node) as idle:
        if not idle or not kill([scene.wait(lambda: scene.processes.part(node, "worker"))]):
            return None
    return f"killed {node}'s idle worker"


def busy_worker(scene: Scene, node: str, card: Card) -> str | None:
    if not scene.wait(lambda: scene.running_job(node)):
        return None
    # From the claim on: before the first request, during it, or while pictures are written.
    scene.pause_s(0, 0.8)
    worker = _owner(scene, node)
    return f"killed {node}'s worker {worker.pid}" if worker and kill([worker]) else None


def _owner(scene: Scene, node: str) -> psutil.Process | None:
    pid = scene.owner_pid(node)
    with suppress(psutil.Error):
        return psutil.Process(pid) if pid else None
    return None


def part_of(role: str) -> Callable[[Scene, str, Card], str | None]:
    def strike(scene: Scene, node: str, card: Card) -> str | None:
        victim = scene.wait(lambda: scene.processes.part(node, role))
        return f"killed {node}'s {role}" if kill([victim]) else None

    return strike


def sentinel(scene: Scene, node: str, card: Card) -> str | None:
    return f"killed {node}'s sentinel" if kill([scene.wait(lambda: scene.processes.sentinel(node))]) else None


def run_node(scene: Scene, node: str, card: Card) -> str | None:
    return f"killed {node}'s run_node" if kill([scene.wait(lambda: scene.processes.run_node(node))]) else None


def web_server(scene: Scene, node: str, card: Card) -> str | None:
    return "killed the web server" if kill([scene.wait(lambda: scene.processes.web_server())]) else None


def up(scene: Scene, node: str, card: Card) -> str | None:
    return "killed `up`" if kill([scene.wait(lambda: scene.processes.up())]) else None


def everything(scene: Scene, node: str, card: Card) -> str | None:
    count = kill(scene.processes.everything_of_ours())
    return f"killed all {count} processes of ours" if count else None


def term_group(scene: Scene, node: str, card: Card) -> str | None:
    main = scene.processes.run_node(node)
    return f"TERM to the group of {node}'s run_node" if main and terminate_group(main) else None


def frozen(scene: Scene, node: str, card: Card) -> str | None:
    """Stand still and go on: a worker past its lease, or a whole run_node until another node takes its job."""
    if not scene.wait_posting(node):
        return None
    job_id, worker = scene.running_job(node), _owner(scene, node)
    if job_id is None:
        return None
    victims = [worker] if card.variant == "worker" else _tree(scene, node)
    living = [process for process in victims if process is not None and _signal(process, signal.SIGSTOP)]
    if not living:
        return None
    try:
        began_s, began_at = time.monotonic(), datetime.now(UTC)
        if card.variant == "run_node" and scene.installation.database.vendor == "postgresql":
            token = _token_of_run(scene, job_id)
            scene.wait(lambda: _token_of_run(scene, job_id) not in ("", token), TAKEN_OVER_S)
            scene.pause_s(0, 0.2)  # the other run has just begun
        else:
            scene.pause_s(1, 7)
    finally:
        for process in living:
            _signal(process, signal.SIGCONT)
        scene.frozen.append((began_at, datetime.now(UTC)))
    return f"froze {node}'s {card.variant} with job {job_id} for {time.monotonic() - began_s:.0f} s"


def _tree(scene: Scene, node: str) -> list[psutil.Process | None]:
    """Parents first, so that nobody replaces a child that seems to hang."""
    parts = [scene.processes.part(node, role) for role in PARTS]
    return [scene.processes.run_node(node), scene.processes.sentinel(node), *parts]


def _token_of_run(scene: Scene, job_id: int) -> str:
    """Proves who runs the job; empty while nobody does."""
    [(token,)] = scene.installation.rows(f"SELECT run_token FROM jobs_job WHERE id = {job_id:d}")  # noqa: S608
    return str(token or "")


def _signal(process: psutil.Process, number: signal.Signals) -> bool:
    with suppress(psutil.Error):
        process.send_signal(number)
        return True
    return False
