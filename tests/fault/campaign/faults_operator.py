"""Acts of people in the wrong moment: restarts, stops, cancels, pauses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tests.fault.campaign.engine import kill
from tests.fault.campaign.evidence import Cancel
from tests.fault.campaign.plan import Card
from tests.fault.campaign.scene import Scene


def restart_now(scene: Scene, node: str, card: Card) -> str | None:
    if not scene.wait_posting(node):
        return None
    return _asked(scene, node, after_job=False)


def restart_after_job(scene: Scene, node: str, card: Card) -> str | None:
    if not scene.wait_posting(node):
        return None
    return _asked(scene, node, after_job=True)


def restart_during_recovery(scene: Scene, node: str, card: Card) -> str | None:
    if not scene.wait_posting(node) or not kill([scene.processes.webui(node)]):
        return None
    scene.pause_s(0.1, 1.2)
    asked = scene.installation.act("ask", name=node, wanted="restart", after_job=False)
    return f"killed {node}'s WebUI and asked for a restart" + ("" if asked else " (it came too late)")


def _asked(scene: Scene, node: str, *, after_job: bool) -> str | None:
    when = "after its job" if after_job else "now"
    asked = scene.installation.act("ask", name=node, wanted="restart", after_job=after_job)
    return f"asked {node} to restart {when}" if asked else None


def stop_and_start(scene: Scene, node: str, card: Card) -> str | None:
    scene.installation.act("ask", name=node, wanted="stop", after_job=False)
    try:
        stopped = scene.wait(lambda: scene.installation.node_states().get(node) == "STOPPED")
        scene.pause_s(0, 1)
    finally:
        scene.installation.act("ask", name=node, wanted="run", after_job=False)
    return f"stopped and started {node}" if stopped else None


def cancel_queued(scene: Scene, node: str, card: Card) -> str | None:
    rows = scene.installation.rows("SELECT id FROM jobs_job WHERE status = 'QUEUED' ORDER BY id")
    if not rows:
        return None
    return _cancel(scene, scene.rng.choice(rows)[0])


def cancel_running(scene: Scene, node: str, card: Card) -> str | None:
    if not scene.wait(lambda: scene.running_job(node)):
        return None
    scene.pause_s(0, 0.5)
    job_id = scene.running_job(node)
    return _cancel(scene, job_id) if job_id is not None else None


def _cancel(scene: Scene, job_id: int) -> str | None:
    if job_id in scene.cancels:
        return None
    at = datetime.now(UTC)
    scene.cancels[job_id] = Cancel(at)
    result = scene.installation.act("cancel", job_id=job_id)
    scene.cancels[job_id] = Cancel(datetime.now(UTC) if result == "requested" else at, result)
    return None if result == "too_late" else f"cancelled job {job_id}: {result}"


def cancel_under_fault(scene: Scene, node: str, card: Card) -> str | None:
    """At any moment of a job that meets a fault as well, before or after that."""
    if not scene.wait(lambda: scene.running_job(node)):
        return None
    job_id = scene.running_job(node)
    if job_id is None:
        return None
    steps: list[Callable[[], str | None]] = [lambda: _meet(scene, node, card), lambda: _cancel(scene, job_id)]
    scene.rng.shuffle(steps)
    told = []
    for step in steps:
        told.append(step())
        scene.pause_s(0, 1.5)
    scene.arm(node, card, [])
    return " and ".join(filter(None, told)) or None


def _meet(scene: Scene, node: str, card: Card) -> str | None:
    if card.variant == "webui":
        return f"killed {node}'s WebUI" if kill([scene.processes.webui(node)]) else None
    if card.variant == "worker":
        return f"killed {node}'s worker" if kill([scene.processes.part(node, "worker")]) else None
    scene.arm(node, card, card.variant.split(";"))
    return f"armed {card.variant}"


def pause_and_resume(scene: Scene, node: str, card: Card) -> str | None:
    scene.installation.act("pause")
    try:
        scene.pause_s(0.5, 3)
    finally:
        scene.installation.act("resume")
    return "paused and resumed the queue"
