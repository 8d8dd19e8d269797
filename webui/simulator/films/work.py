"""The work at one job: its phases, one after the other, in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from webui.simulator.films import encoding, fault_kinds, limits, painting
from webui.simulator.films.answers import TurnedAwayError
from webui.simulator.films.fault_kinds import JobPoint, SimulatedFailureError, SimulatedMemoryError
from webui.simulator.films.input_pictures import SimulatedInputs
from webui.simulator.films.jobs import OUT_OF_MEMORY, SimulatedJob, SimulatedJobs, SimulatedResult, kept
from webui.simulator.films.painting import FilmOrder
from webui.simulator.log import ProgressLine, complain


class _CancelledError(Exception):
    """Somebody asked for the end of the job."""


@dataclass(frozen=True)
class Workplace:
    """What the work needs beside the job."""

    inputs: SimulatedInputs
    model: str
    loras: tuple[dict[str, Any], ...]
    jobs: SimulatedJobs
    die_of_memory: Callable[[SimulatedJob], None]
    """Does not return."""


def work(job: SimulatedJob, place: Workplace) -> None:
    """From its first phase to its end, which the journal and the job tell."""
    job.journal.step("begin", job.number, job.id)
    job.began_at, job.state = time.monotonic(), "running"
    try:
        job.result = _worked(job, place)
    except _CancelledError:
        _end(job, place, "cancelled", "cancelled")
    except SimulatedMemoryError as error:
        job.error = {"code": OUT_OF_MEMORY, "message": str(error)}
        _end(job, place, "failed", "failed")
        place.die_of_memory(job)
    except SimulatedFailureError as error:
        job.error = {"code": error.code, "message": str(error)}
        _end(job, place, "failed", "failed")
    except TurnedAwayError as error:
        job.error = {"code": "input", "message": f"An input picture cannot be read any more: {error}"}
        _end(job, place, "failed", "failed")
    else:
        place.jobs.age_results()
        _end(job, place, "done", "answered")


def _end(job: SimulatedJob, place: Workplace, state: str, outcome: str) -> None:
    """First the journal: whoever sees the end may rely on it."""
    job.account(200, outcome)
    if job.is_forgotten:
        place.jobs.forget(job)
    job.ended_at, job.state = time.monotonic(), state
    complain(f"job {job.id}: {state}" + (f" ({job.error['message']})" if job.error else ""))


def _worked(job: SimulatedJob, place: Workplace) -> SimulatedResult:
    _phase(job, "prepare")
    pictures = tuple(place.inputs.picture(sha256) for sha256 in job.asked.inputs)
    used = _used(job, place, pictures[0].size)
    told = _told(job, used)
    order = _order(job, used, pictures)
    for change in job.order_changes:
        order = change(order)
    _phase(job, "encode", takes_a_step=True)
    _heed_cancel(job)
    _phase(job, "denoise")
    _denoise(job)
    _phase(job, "decode", takes_a_step=True)
    _heed_cancel(job)
    _phase(job, "save")
    content = _made(order)
    for spoil in job.byte_changes:
        content = spoil(content)
    return kept(content, {**told, "used": order.used})


def _phase(job: SimulatedJob, phase: str, *, takes_a_step: bool = False) -> None:
    job.journal.step("phase", job.number, job.id, phase=phase)
    job.progress = (phase, 0, 0)
    # The prompt's encoding and the film's decoding cannot be interrupted.
    if takes_a_step and job.seconds_per_step:
        time.sleep(job.seconds_per_step)
    if phase != "denoise":
        fault_kinds.strike(JobPoint[phase.upper()], job)


def _denoise(job: SimulatedJob) -> None:
    steps = int(job.asked.parameters["steps"])
    line = ProgressLine(steps)
    for step in range(1, steps + 1):
        _heed_cancel(job)
        if job.seconds_per_step:
            time.sleep(job.seconds_per_step)
        job.progress = ("denoise", step, steps)
        line.show(step)
        if step == 1:
            fault_kinds.strike(JobPoint.DENOISE, job)
    _heed_cancel(job)
    line.show(steps, last=True)


def _heed_cancel(job: SimulatedJob) -> None:
    if job.cancel.is_set():
        raise _CancelledError


def _used(job: SimulatedJob, place: Workplace, picture: tuple[int, int]) -> dict[str, Any]:
    asked = job.asked
    used = {
        **asked.parameters,
        "seed": asked.seed,
        "model": asked.model or place.model,
        "loras": list(place.loras),
    }
    size = limits.auto_size(asked.kind, picture)
    for side, pixels in zip(limits.SIDES, size, strict=True):
        used[side] = used[side] or pixels
    return used


def _told(job: SimulatedJob, used: dict[str, Any]) -> dict[str, Any]:
    """What the result's facts are, where no fault makes it another thing."""
    told = {"media_type": "image/png", "width": used["width"], "height": used["height"]}
    if job.asked.kind == "i2v":
        told |= {"media_type": "video/mp4", "frames": used["num_frames"], "fps": used["fps"]}
    return told


def _order(job: SimulatedJob, used: dict[str, Any], pictures: tuple[Any, ...]) -> FilmOrder:
    return FilmOrder(
        kind=job.asked.kind,
        pictures=pictures,
        prompt=job.asked.prompt,
        negative_prompt=job.asked.negative_prompt,
        seed=job.asked.seed,
        width=used["width"],
        height=used["height"],
        used=used,
        frames=used.get("num_frames", 1),
        fps=used.get("fps", 1),
    )


def _made(order: FilmOrder) -> bytes:
    comment = {**order.used, "prompt": order.prompt, "negative_prompt": order.negative_prompt}
    if order.kind == "edit":
        return encoding.png(painting.edit(order), comment)
    return encoding.mp4(painting.film(order), order.size, order.fps, comment)
