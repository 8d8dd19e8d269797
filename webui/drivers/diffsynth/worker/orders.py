"""What a job asks for: read from a request once, every wrong field told at once.

Ranges are those of `webui.work.limits`; nothing is snapped or clipped here, so that what was asked for is what runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from webui.work.limits import AUTO, LIMITS, MAX_INPUTS, MAX_PROMPT_CHARACTERS, Choice, Limit

JOB_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
MAX_SEED: Final = 2**32 - 1

_ORDER_FIELDS: Final = ("id", "inputs", "prompt", "negative_prompt", "seed", "model")


@dataclass(frozen=True, slots=True)
class FieldProblem:
    field: str
    message: str


class RefusedOrderError(ValueError):
    """The job cannot run as it is asked for; `problems` has every field that is wrong."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """`inputs` are SHA-256 in hex. `parameters` has every name of the kind's limits; a size may be `AUTO`."""

    kind: str
    inputs: tuple[str, ...]
    prompt: str
    negative_prompt: str
    seed: int
    parameters: Mapping[str, int | float | str]

    def whole(self, name: str) -> int:
        return int(self.parameters[name])

    def number(self, name: str) -> float:
        return float(self.parameters[name])

    def word(self, name: str) -> str:
        return str(self.parameters[name])


def read_order(kind: str, model: str, body: Mapping[str, Any]) -> WorkOrder:
    """`model` is the worker's own name. Raises RefusedOrderError. The id is not looked at."""
    return _Reader(kind, model, body).order()


def limits_document(kind: str) -> dict[str, Any]:
    """The table of a kind as JSON."""
    return {name: _limit_document(limit) for name, limit in LIMITS[kind].items()}


def _limit_document(limit: Limit | Choice) -> dict[str, Any]:
    if isinstance(limit, Choice):
        return {"default": limit.default, "values": list(limit.values)}
    names = ("default", "low", "high", "unit", "step", "offset", "auto")
    return {name: getattr(limit, name) for name in names}


class _Reader:
    def __init__(self, kind: str, model: str, body: Mapping[str, Any]) -> None:
        self.kind = kind
        self.model = model
        self.body = body
        self.problems: list[FieldProblem] = []

    def order(self) -> WorkOrder:
        limits = LIMITS[self.kind]
        for name in self.body:
            if name not in limits and name not in _ORDER_FIELDS:
                self._refuse(str(name)[:100], "There is no such field.")
        order = WorkOrder(
            kind=self.kind,
            inputs=self._inputs(),
            prompt=self._prompt("prompt"),
            negative_prompt=self._prompt("negative_prompt"),
            seed=self._seed(),
            parameters={name: self._value(name, limit) for name, limit in limits.items()},
        )
        self._check_model()
        self._check_size(order.parameters["width"], order.parameters["height"])
        if self.problems:
            raise RefusedOrderError(self.problems)
        return order

    def _refuse(self, field: str, message: str) -> None:
        self.problems.append(FieldProblem(field, message))

    def _inputs(self) -> tuple[str, ...]:
        value = self.body.get("inputs")
        most = MAX_INPUTS if self.kind == "edit" else 1
        wanted = f"1 to {MAX_INPUTS} pictures" if most > 1 else "exactly 1 picture"
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            self._refuse("inputs", f"Give {wanted}, by SHA-256.")
            return ()
        if not all(isinstance(one, str) and SHA256.fullmatch(one) for one in value):
            self._refuse("inputs", "A picture is named by its SHA-256: 64 digits of 0-9 and a-f.")
            return ()
        return tuple(value)

    def _prompt(self, name: str) -> str:
        value = self.body.get(name)
        if not isinstance(value, str):
            self._refuse(name, "Give a text; it may be empty.")
            return ""
        if len(value) > MAX_PROMPT_CHARACTERS:
            message = f"It has {len(value):,} characters; {MAX_PROMPT_CHARACTERS} are the most."
            self._refuse(name, message)
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            self._refuse(name, "It has characters that are no text.")
        return value

    def _seed(self) -> int:
        value = self.body.get("seed")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
            self._refuse("seed", f"Give a whole number from 0 to {MAX_SEED}.")
            return 0
        return value

    def _value(self, name: str, limit: Limit | Choice) -> int | float | str:
        value = self.body.get(name)
        if isinstance(limit, Choice):
            if not isinstance(value, str) or value not in limit.values:
                self._refuse(name, f"Give one of {', '.join(limit.values)}.")
            return str(value)
        if isinstance(value, bool) or not isinstance(value, int if limit.whole else int | float):
            kind = "a whole number" if limit.whole else "a number"
            self._refuse(name, f"Give {kind}: {limit.range_words}.")
            return limit.default
        if not math.isfinite(value) or not limit.allows(value):
            self._refuse(name, f"{value} is outside of {limit.range_words}.")
            return limit.default
        if limit.whole and limit.snapped(int(value)) != value:
            more = f" and {limit.offset} more" if limit.offset else ""
            message = (
                f"{value} is no multiple of {limit.step}{more}. The nearest is {limit.snapped(int(value))}."
            )
            self._refuse(name, message)
        return int(value) if limit.whole else float(value)

    def _check_model(self) -> None:
        value = self.body.get("model")
        if not isinstance(value, str):
            self._refuse("model", "Give a text; empty takes this worker's model.")
        elif value not in {"", self.model}:
            self._refuse("model", f"This worker has the model {self.model}, not {value[:100]}.")

    def _check_size(self, width: object, height: object) -> None:
        wrong = {problem.field for problem in self.problems}
        if (width == AUTO) != (height == AUTO) and not wrong & {"width", "height"}:
            self._refuse("width", f"Width and height are both {AUTO}, or neither of them.")
