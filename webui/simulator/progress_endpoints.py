"""The endpoints that watch and steer the running job: progress, tasks, interrupt, skip."""

from __future__ import annotations

import time
from typing import Any

from webui.simulator.answers import SimulatedAnswer, json_answer
from webui.simulator.pictures import encoded
from webui.simulator.simulation import ReceivedRequest, Simulation


def progress(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    state = simulation.state
    shown: dict[str, Any] = {"progress": 0.0, "eta_relative": 0.0, "state": state.shown()}
    shown |= {"current_image": None, "textinfo": None}
    if state.job_count == 0:
        return json_answer(shown)
    done = min(0.01 + state.share_done(), 1.0)
    elapsed = time.monotonic() - state.started_at
    shown |= {"progress": done, "eta_relative": elapsed / done - elapsed}
    _refresh_preview(simulation)
    skip = request.query.get("skip_current_image", "false").lower() in {"true", "1", "on", "yes"}
    if state.preview is not None and not skip:
        shown["current_image"] = encoded(state.preview, {})
    return json_answer(shown)


def _refresh_preview(simulation: Simulation) -> None:
    values = simulation.options.values
    every = values["show_progress_every_n_steps"]
    if values["live_previews_enable"] and isinstance(every, int):
        simulation.state.refresh_preview(every)


def internal_progress(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    fields = simulation.read("internal-progress", request)
    task_id, state, tasks = fields["id_task"], simulation.state, simulation.tasks
    pending = tasks.pending()
    shown: dict[str, Any] = {
        "active": task_id == tasks.current,
        "queued": task_id in pending,
        "completed": tasks.is_finished(task_id),
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": -1,
        "textinfo": None,
    }
    if not shown["active"]:
        place = (
            f"In queue: {pending.index(task_id) + 1}/{len(pending)}" if task_id in pending else "Waiting..."
        )
        return json_answer(shown | {"textinfo": place})
    done = min(state.share_done(), 1.0)
    elapsed = time.monotonic() - state.started_at
    shown |= {"progress": done, "eta": elapsed / done - elapsed if done else None}
    shown["id_live_preview"] = fields["id_live_preview"]
    if fields["live_preview"]:
        _refresh_preview(simulation)
        if state.preview is not None and state.preview_id != fields["id_live_preview"]:
            shown["live_preview"] = "data:image/png;base64," + encoded(state.preview, {})
            shown["id_live_preview"] = state.preview_id
    return json_answer(shown)


def pending_tasks(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    pending = simulation.tasks.pending()
    return json_answer({"size": len(pending), "tasks": pending})


def interrupt(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    simulation.state.interrupt()
    return json_answer({})


def skip(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    simulation.state.skipped = True
    return json_answer(None)
