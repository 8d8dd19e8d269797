"""Acts of people in the wrong moment: restarts, stops, cancels, pauses."""

from __future__ import annotations

from tests.fault.campaign.engine import kill
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
    scene.cancels.add(job_id)
    result = scene.installation.act("cancel", job_id=job_id)
    return None if result == "too_late" else f"cancelled job {job_id}: {result}"


def pause_and_resume(scene: Scene, node: str, card: Card) -> str | None:
    scene.installation.act("pause")
    try:
        scene.pause_s(0.5, 3)
    finally:
        scene.installation.act("resume")
    return "paused and resumed the queue"
