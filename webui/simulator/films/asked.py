"""A job as it is asked for: read from the body of `POST /jobs`, all that is wrong with it told at once."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from webui.simulator.films.answers import TurnedAwayError
from webui.simulator.films.limits import AUTO, LIMITS, MAX_PROMPT_CHARACTERS, MAX_SEED, MOST_INPUTS

ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
SHA256 = re.compile(r"[0-9a-f]{64}")
WORDS = ("id", "inputs", "prompt", "negative_prompt", "seed", "model")


@dataclass(frozen=True)
class AskedJob:
    """All within the limits."""

    kind: str
    id: str
    inputs: tuple[str, ...]
    """SHA-256 of each."""
    prompt: str
    negative_prompt: str
    seed: int
    model: str
    parameters: dict[str, Any]
    """Those of the table of limits."""


def id_of(body: dict[str, Any]) -> str:
    """Raises TurnedAwayError."""
    value = body.get("id")
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise refused([("id", "an id has 1 to 100 characters, each a letter, a digit, a dot, - or _")])
    return value


def fingerprint(body: dict[str, Any]) -> str:
    """Two bodies that say the same have the same."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def read(kind: str, body: dict[str, Any], models: tuple[str, ...] | None) -> AskedJob:
    """Raises TurnedAwayError with every field that is wrong. `models`: those that there are; None has every one."""
    limits = LIMITS[kind]
    names = [*WORDS, *limits]
    problems = [(name, "there is no such field") for name in body if name not in names]
    problems += [(name, "it is missing") for name in names if name not in body]
    for name, problem in (
        ("id", None if ID.fullmatch(str(body.get("id"))) else "it is no id"),
        ("inputs", _inputs_problem(body.get("inputs"), MOST_INPUTS[kind])),
        ("prompt", _words_problem(body.get("prompt"))),
        ("negative_prompt", _words_problem(body.get("negative_prompt"))),
        ("seed", _seed_problem(body.get("seed"))),
        ("model", _model_problem(body.get("model"), models)),
        *((name, limit.problem_of(body.get(name))) for name, limit in limits.items()),
    ):
        if problem and name in body:
            problems.append((name, problem))
    if not problems and (body["width"] == AUTO) != (body["height"] == AUTO):
        problems.append(("width", f"width and height are both {AUTO}, or neither is"))
    if problems:
        raise refused(problems)
    return AskedJob(
        kind=kind,
        id=body["id"],
        inputs=tuple(body["inputs"]),
        prompt=body["prompt"],
        negative_prompt=body["negative_prompt"],
        seed=body["seed"],
        model=body["model"],
        parameters={name: limit.taken(body[name]) for name, limit in limits.items()},
    )


def refused(problems: list[tuple[str, str]]) -> TurnedAwayError:
    told = "; ".join(f"{name}: {problem}" for name, problem in problems)
    fields = [{"field": name, "message": problem} for name, problem in problems]
    return TurnedAwayError(422, "refused", f"The job is refused. {told}.", fields=fields)


def _inputs_problem(value: object, most: int) -> str | None:
    if not isinstance(value, list) or not all(
        isinstance(one, str) and SHA256.fullmatch(one) for one in value
    ):
        return "it is no list of SHA-256 in small hexadecimal digits"
    if not 1 <= len(value) <= most:
        return (
            f"there are {len(value)} pictures, 1 to {most} are taken" if most > 1 else "one picture is taken"
        )
    return None


def _words_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return f"{value!r} is no text"
    if len(value) > MAX_PROMPT_CHARACTERS:
        return f"it has {len(value)} characters, {MAX_PROMPT_CHARACTERS} are taken"
    return None


def _seed_problem(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        return f"{value!r} is no whole number from 0 to {MAX_SEED}"
    return None


def _model_problem(value: object, models: tuple[str, ...] | None) -> str | None:
    if not isinstance(value, str):
        return f"{value!r} is no text"
    if value and models is not None and value not in models:
        return f"this worker has {', '.join(models)} and not {value!r}"
    return None
