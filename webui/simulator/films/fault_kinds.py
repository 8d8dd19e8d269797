"""The kinds of fault of a worker: how each acts, and at which point of a job's way or of a start.

A new kind is one function and one line in a table. Which jobs and starts are struck is the switchboard's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from webui.simulator.films.answers import ConnectionDropError, TurnedAwayError
from webui.simulator.films.asked import refused
from webui.simulator.films.jobs import PHASES, SimulatedJob
from webui.simulator.films.painting import FilmOrder
from webui.simulator.log import complain

CUDA_OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 250.00 GiB. GPU 0 has a total capacity of 23.99 GiB "
    "(simulated fault oom)"
)


class JobPoint(Enum):
    """Where on a job's way a fault acts."""

    ARRIVAL = "it would be accepted"
    ACCEPTED = "it was accepted, and the answer is not sent yet"
    PREPARE = "prepare"
    ENCODE = "encode"
    DENOISE = "after its first step"
    DECODE = "decode"
    SAVE = "save"
    POLL = "somebody asks how it goes"
    RESULT = "somebody fetches its result"


class SimulatedFailureError(Exception):
    """The job ends as failed; the worker goes on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SimulatedMemoryError(Exception):
    """The job ends as failed, and the process with it."""


@dataclass(frozen=True)
class JobFault:
    point: JobPoint
    act: Callable[[SimulatedJob, float], None]
    """Gets the rule's seconds, or those of the kind."""
    meaning: str
    seconds: float | None = None
    """What a rule without seconds means; None where the kind takes none."""
    films_only: bool = False


def strike(point: JobPoint, job: SimulatedJob) -> None:
    """Let every fault that is due at this point act. Many of them do not return."""
    for due in job.dues:
        kind = JOB_FAULTS[due.rule.kind]
        if kind.point is point and (rule := job.strike(due)):
            kind.act(job, rule.seconds if rule.seconds is not None else kind.seconds or 0.0)


# --- refusals and failures ------------------------------------------------------------------------------


def _refuse(job: SimulatedJob, seconds: float) -> None:
    raise refused([("steps", f"simulated refusal of job {job.number} (fault refused)")])


def _turn_away(status: int, code: str, message: str, **facts: str) -> Callable[[SimulatedJob, float], None]:
    def act(job: SimulatedJob, seconds: float) -> None:
        raise TurnedAwayError(status, code, message, facts=facts)

    return act


def _miss_input(job: SimulatedJob, seconds: float) -> None:
    sha256 = job.asked.inputs[0]
    raise TurnedAwayError(422, "missing_input", "The input picture is not here.", facts={"sha256": sha256})


def _fail(code: str, message: str) -> Callable[[SimulatedJob, float], None]:
    def act(job: SimulatedJob, seconds: float) -> None:
        raise SimulatedFailureError(code, message)

    return act


def _run_out_of_memory(job: SimulatedJob, seconds: float) -> None:
    raise SimulatedMemoryError(CUDA_OUT_OF_MEMORY)


def _die(job: SimulatedJob, seconds: float) -> None:
    job.account(None, "died")
    complain(f"Segmentation fault (core dumped)\nsimulated crash in job {job.number} (fault {job.fault})")
    job.journal.end("died", 1)
    os._exit(1)


def _hang(job: SimulatedJob, seconds: float) -> None:
    job.account(None, "hung")
    complain(f"job {job.number} hangs (fault {job.fault}): its phase and step will not change")
    threading.Event().wait()


def _slow_down(job: SimulatedJob, seconds: float) -> None:
    job.seconds_per_step = seconds


# --- connections ----------------------------------------------------------------------------------------


def _drop(job: SimulatedJob, seconds: float) -> None:
    raise ConnectionDropError


def _forget(job: SimulatedJob, seconds: float) -> None:
    job.is_forgotten = True


# --- results --------------------------------------------------------------------------------------------


def _order_change(change: Callable[[FilmOrder], FilmOrder]) -> Callable[[SimulatedJob, float], None]:
    return lambda job, seconds: job.order_changes.append(change)


def _tear(job: SimulatedJob, seconds: float) -> None:
    job.byte_changes.append(lambda content: content[: len(content) // 2])


def _cut_answer(job: SimulatedJob, seconds: float) -> None:
    job.cuts_answer = True


def _tell_another_hash(job: SimulatedJob, seconds: float) -> None:
    job.tells_another_hash = True


def _lose_result(job: SimulatedJob, seconds: float) -> None:
    raise TurnedAwayError(410, "gone", "The result is not kept any more (simulated fault gone).")


def _larger(order: FilmOrder) -> FilmOrder:
    return replace(order, width=order.width + 16, height=order.height + 16)


def _fewer_frames(order: FilmOrder) -> FilmOrder:
    return replace(order, frames=order.frames - 4 if order.frames > 5 else order.frames + 4)


def _other_rate(order: FilmOrder) -> FilmOrder:
    return replace(order, fps=order.fps * 2 if order.fps <= 30 else order.fps // 2)


def _other_seed(order: FilmOrder) -> FilmOrder:
    seed = order.seed + 1 if order.seed == 0 else order.seed - 1
    return replace(order, seed=seed, used={**order.used, "seed": seed})


def _in_each_phase(
    name: str, act: Callable[[SimulatedJob, float], None], meaning: str
) -> dict[str, JobFault]:
    """`name` strikes after the first step, `name-PHASE` in that phase."""
    found = {name: JobFault(JobPoint.DENOISE, act, meaning + ", after the first step")}
    for phase in PHASES:
        found[f"{name}-{phase}"] = JobFault(JobPoint[phase.upper()], act, f"the same in {phase}")
    return found


BREAKING: dict[str, JobFault] = {
    "refused": JobFault(JobPoint.ARRIVAL, _refuse, "answers 422 for the field steps"),
    "busy": JobFault(
        JobPoint.ARRIVAL,
        _turn_away(
            409, "busy", "The worker is busy with another job (simulated fault busy).", job="simulated-other"
        ),
        "answers 409: it is busy with another job",
    ),
    "missing-input": JobFault(JobPoint.ARRIVAL, _miss_input, "answers 422: the first picture is not here"),
    "failed": JobFault(
        JobPoint.DENOISE, _fail("failed", "RuntimeError: simulated failure (fault failed)"), "the job fails"
    ),
    "input": JobFault(
        JobPoint.PREPARE,
        _fail("input", "The picture cannot be used (simulated fault input)."),
        "the job fails for its input",
    ),
    **_in_each_phase(
        "oom", _run_out_of_memory, "out of memory: told once, then the process ends with exit code 70"
    ),
    **_in_each_phase("die", _die, "the process ends with exit code 1"),
    **_in_each_phase("hang", _hang, "phase and step change no more, cancel does not help"),
    "slow": JobFault(JobPoint.PREPARE, _slow_down, "each step takes SECONDS (1)", seconds=1.0),
    "drop": JobFault(JobPoint.ACCEPTED, _drop, "accepts the job and closes the connection without an answer"),
    "drop-poll": JobFault(JobPoint.POLL, _drop, "closes the connection of each question about the job"),
    "drop-result": JobFault(JobPoint.RESULT, _drop, "closes the connection of each fetch of the result"),
    "forget": JobFault(JobPoint.SAVE, _forget, "does not know the job any more when it is done"),
    "gone": JobFault(JobPoint.RESULT, _lose_result, "answers 410 for the result"),
}
LYING: dict[str, JobFault] = {
    "truncated": JobFault(
        JobPoint.RESULT, _cut_answer, "half of the result's bytes under the length of all, then the end"
    ),
    "torn": JobFault(JobPoint.SAVE, _tear, "half a file; length and hash are those of the half"),
    "wrong-hash": JobFault(JobPoint.RESULT, _tell_another_hash, "the header has another hash than the bytes"),
    "wrong-size": JobFault(
        JobPoint.PREPARE, _order_change(_larger), "16 pixels wider and higher than it tells"
    ),
    "wrong-frames": JobFault(
        JobPoint.PREPARE,
        _order_change(_fewer_frames),
        "4 frames fewer (of 5: more) than it tells",
        films_only=True,
    ),
    "wrong-rate": JobFault(
        JobPoint.PREPARE, _order_change(_other_rate), "another rate than it tells", films_only=True
    ),
    "wrong-seed": JobFault(JobPoint.PREPARE, _order_change(_other_seed), "another seed, and it tells so"),
    "frozen": JobFault(
        JobPoint.PREPARE,
        _order_change(lambda order: replace(order, is_frozen=True)),
        "all frames are equal",
        films_only=True,
    ),
    "flat": JobFault(
        JobPoint.PREPARE, _order_change(lambda order: replace(order, is_flat=True)), "one colour everywhere"
    ),
}
"""Results that look right and are not."""

JOB_FAULTS = BREAKING | LYING


def job_faults_of(kind: str) -> dict[str, JobFault]:
    return {name: fault for name, fault in JOB_FAULTS.items() if kind == "i2v" or not fault.films_only}
