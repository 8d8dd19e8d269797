"""The kinds of fault that strike generation requests: how each acts, and at which point of the request's way.

A new kind is one function and one line in `KINDS`. Which requests are struck is the switchboard's.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from webui.simulator import spoiling, tracebacks
from webui.simulator.answers import EscapedError, InvalidFieldsError, RefusedRequestError
from webui.simulator.arrival import Arrival, ArrivalEnding
from webui.simulator.lies import LIES
from webui.simulator.log import complain
from webui.simulator.lying import Lie

NAN = (
    "A tensor with all NaNs was produced in Unet. "
    "Use --disable-nan-check commandline argument to disable this check."
)
OUT_OF_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 250000000000 bytes. Error code 12 (Cannot allocate memory)"
)


class Point(Enum):
    """Where on a request's way a fault acts."""

    ARRIVAL = "before the request is looked at"
    LOAD = "its turn has come and nothing has begun; progress reads idle"
    FIRST_STEP = "after its first step; for extras, as their work begins"
    LAST_STEP = "after its last step, before the answer is made; progress reads idle"
    ANSWER = "the answer is made and not yet sent"


@dataclass(frozen=True)
class Kind:
    point: Point
    act: Callable[[Arrival, float], None]
    """Gets the rule's seconds, or those of the kind."""
    meaning: str
    seconds: float | None = None
    """What a rule without seconds means; None where the kind takes none."""
    strikes_extras: bool = True


def strike(point: Point, arrival: Arrival) -> None:
    """Let every fault that is due at this point act. Most of them do not return."""
    for due in arrival.dues:
        kind = KINDS[due.rule.kind]
        if kind.point is point and (rule := arrival.strike(due)):
            kind.act(arrival, rule.seconds if rule.seconds is not None else kind.seconds or 0.0)


# --- refusals and failures ------------------------------------------------------------------------------


def _refuse_fields(arrival: Arrival, seconds: float) -> None:
    message = f"simulated refusal of generation {arrival.number} (fault 422)"
    raise InvalidFieldsError([{"loc": ["body", "steps"], "msg": message, "type": "value_error"}])


def _refuse(status: int, detail: str) -> Callable[[Arrival, float], None]:
    def act(arrival: Arrival, seconds: float) -> None:
        raise RefusedRequestError(status, detail)

    return act


def _escape(error_class: str, text: str) -> Callable[[Arrival, float], None]:
    def act(arrival: Arrival, seconds: float) -> None:
        raise EscapedError(error_class, text)

    return act


def _fail(arrival: Arrival, seconds: float) -> None:
    text = f"simulated failure of generation {arrival.number} (fault 500)"
    complain(tracebacks.of_request(arrival.path, arrival.fields, f"RuntimeError: {text}"))
    raise EscapedError("RuntimeError", text)


def _fail_with_echo(arrival: Arrival, seconds: float) -> None:
    text = f"simulated failure of generation {arrival.number} (fault 500-echo) with {arrival.prompt}"
    complain(tracebacks.of_request(arrival.path, arrival.fields, f"RuntimeError: {text}"))
    raise EscapedError("RuntimeError", text)


# --- no answer, or half of one --------------------------------------------------------------------------


def _drop(arrival: Arrival, seconds: float) -> None:
    arrival.ending = ArrivalEnding.NOTHING


def _send_half(arrival: Arrival, seconds: float) -> None:
    arrival.ending = ArrivalEnding.HALF


def _die(arrival: Arrival, seconds: float) -> None:
    arrival.account(None, "died")
    complain(tracebacks.of_request(arrival.path, arrival.fields, "Segmentation fault (core dumped)"))
    complain(f"simulated crash in generation {arrival.number} (fault die): the process ends here")
    arrival.journal.end("died", 1)
    os._exit(1)


def _hang(arrival: Arrival, seconds: float) -> None:
    arrival.account(None, "hung")
    complain(f"generation {arrival.number} hangs (fault {arrival.fault}): no answer will come")
    threading.Event().wait()


# --- wrong answers --------------------------------------------------------------------------------------


def _cut_picture(arrival: Arrival, seconds: float) -> None:
    spoiling.change_first(arrival.document, spoiling.cut)


def _tear_picture(arrival: Arrival, seconds: float) -> None:
    spoiling.change_first(arrival.document, spoiling.torn)


def _forget_info(arrival: Arrival, seconds: float) -> None:
    arrival.document["info"] = ""


def _spoil_all(change: Callable[[str], str]) -> Callable[[Arrival, float], None]:
    return lambda arrival, seconds: spoiling.change_all(arrival.document, change)


def _spoil(change: Callable[[dict[str, Any]], None]) -> Callable[[Arrival, float], None]:
    return lambda arrival, seconds: change(arrival.document)


def _take_earlier_pixels(arrival: Arrival, seconds: float) -> None:
    spoiling.take_pixels(arrival.document, arrival.earlier)


def _take_earlier_answer(arrival: Arrival, seconds: float) -> None:
    spoiling.take_all(arrival.document, arrival.earlier)


def _give_back_input(arrival: Arrival, seconds: float) -> None:
    spoiling.take_input(arrival.document, arrival.fields)


def _tell(lie: Lie) -> Callable[[Arrival, float], None]:
    return lambda arrival, seconds: arrival.lies.append(lie)


def _interrupt(arrival: Arrival, seconds: float) -> None:
    arrival.interrupt()


# --- late answers ---------------------------------------------------------------------------------------


def _slow_down(arrival: Arrival, seconds: float) -> None:
    arrival.seconds_per_step = seconds


def _load_slowly(arrival: Arrival, seconds: float) -> None:
    time.sleep(seconds)


BREAKING: dict[str, Kind] = {
    "500": Kind(Point.FIRST_STEP, _fail, "answers 500 RuntimeError; its log repeats the request"),
    "500-echo": Kind(Point.FIRST_STEP, _fail_with_echo, "the same, and the answer repeats the prompt"),
    "500-upscaler": Kind(
        Point.FIRST_STEP,
        _escape("AssertionError", "could not find upscaler named simulated-missing"),
        "answers 500 that says that the request is wrong",
    ),
    "500-image": Kind(
        Point.ARRIVAL, _refuse(500, "Invalid encoded image"), "answers 500 as for a broken picture"
    ),
    "oom": Kind(Point.FIRST_STEP, _escape("RuntimeError", OUT_OF_MEMORY), "answers 500, out of memory"),
    "nan": Kind(Point.FIRST_STEP, _escape("NansException", NAN), "answers 500 NansException"),
    "422": Kind(Point.ARRIVAL, _refuse_fields, "answers 422 as for a wrong field"),
    "404-sampler": Kind(
        Point.ARRIVAL,
        _refuse(404, "Sampler not found"),
        "answers 404 Sampler not found",
        strikes_extras=False,
    ),
    "503": Kind(Point.ARRIVAL, _refuse(503, "Service Unavailable"), "answers 503, nothing was done"),
    "drop": Kind(Point.ANSWER, _drop, "works, then closes the connection without an answer"),
    "half-answer": Kind(Point.ANSWER, _send_half, "closes the connection within the answer"),
    "truncated": Kind(Point.ANSWER, _cut_picture, "answers 200 with broken base64"),
    "torn-picture": Kind(Point.ANSWER, _tear_picture, "answers 200 with half a picture file"),
    "black": Kind(Point.ANSWER, _spoil_all(spoiling.black), "answers 200 with black pictures"),
    "fewer-images": Kind(
        Point.ANSWER, _spoil(spoiling.drop_last), "answers 200 with a picture too few", strikes_extras=False
    ),
    "wrong-size": Kind(
        Point.ANSWER, _spoil_all(spoiling.grown), "answers 200 with pictures of twice the size"
    ),
    "no-info": Kind(
        Point.ANSWER, _forget_info, "answers 200 with pictures and an empty info", strikes_extras=False
    ),
    "interrupted": Kind(
        Point.FIRST_STEP, _interrupt, "somebody interrupts it after its first step", strikes_extras=False
    ),
    "slow": Kind(Point.ARRIVAL, _slow_down, "each step takes SECONDS (1)", seconds=1.0),
    "slow-load": Kind(Point.LOAD, _load_slowly, "reads idle for SECONDS (5) before it begins", seconds=5.0),
    "hang": Kind(
        Point.FIRST_STEP, _hang, "never answers, stands after its first step, interrupt does not help"
    ),
    "hang-before": Kind(Point.LOAD, _hang, "never answers, stands before its first step, reads idle"),
    "hang-after": Kind(Point.LAST_STEP, _hang, "never answers, stands after its last step, reads idle"),
    "die": Kind(Point.FIRST_STEP, _die, "the process ends with exit code 1, without an answer"),
}
LYING: dict[str, Kind] = {
    "flat": Kind(Point.ANSWER, _spoil_all(spoiling.flat), "answers 200 with pictures of one colour"),
    "nearly-black": Kind(
        Point.ANSWER, _spoil_all(spoiling.nearly_black), "answers 200, no pixel brighter than 2 of 255"
    ),
    "half-drawn": Kind(
        Point.ANSWER, _spoil_all(spoiling.half_drawn), "answers 200, sound checksums and half of the pixels"
    ),
    "swapped-order": Kind(
        Point.ANSWER, _spoil(spoiling.reverse), "answers 200, the last picture first", strikes_extras=False
    ),
    "swapped-pixels": Kind(
        Point.ANSWER,
        _spoil(spoiling.reverse_pixels),
        "the same, each with the texts of its place",
        strikes_extras=False,
    ),
    "sisters-equal": Kind(
        Point.ANSWER, _spoil(spoiling.repeat_first), "answers 200, all pictures alike", strikes_extras=False
    ),
    "grid": Kind(Point.ANSWER, _spoil(spoiling.grid_first), "answers 200, a grid for the first picture"),
    "stale": Kind(Point.ANSWER, _take_earlier_pixels, "answers 200 with the pixels of the answer before"),
    "stale-answer": Kind(Point.ANSWER, _take_earlier_answer, "answers 200 with the answer before"),
    "input-returned": Kind(Point.ANSWER, _give_back_input, "answers 200 with the picture that came with it"),
    **{
        name: Kind(Point.ARRIVAL, _tell(lie), lie.meaning, strikes_extras=lie.strikes_extras)
        for name, lie in LIES.items()
    },
}
"""Answers that look right and are not, beside those above that are caught by their shape."""

KINDS = BREAKING | LYING
