"""The `randomization` block of older packs: search-and-replace rules, wildcards, and a matrix with a base prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from jobs.packs.findings import Report
from jobs.packs.matrix import MAX_SLOTS, Slot
from jobs.packs.section_reader import is_on

ChoiceMode = Literal["random", "sequential", "fanout"]
PromptMode = Literal["replace", "append", "prepend"]

M = TypeVar("M", bound=str)

CHOICE_MODES: Final[Mapping[str, ChoiceMode]] = {
    "random": "random",
    "sequential": "sequential",
    "round_robin": "sequential",
    "fanout": "fanout",
    "grid": "fanout",
    "all": "fanout",
}
PROMPT_MODES: Final[Mapping[str, PromptMode]] = {
    "replace": "replace",
    "append": "append",
    "prepend": "prepend",
}
WILDCARD_RE: Final = re.compile(r"__[A-Za-z0-9][A-Za-z0-9 /-]*(?:_[A-Za-z0-9 /-]+)*__")
_INERT: Final = frozenset({"enabled", "matrix", "prompt_sr", "wildcards", "max_variants", "seed", "raw_text"})


@dataclass(frozen=True, slots=True)
class PromptChoices:
    """What varies in a prompt besides the matrix.

    A rule is a slot whose name is what it searches; a wildcard is one whose name is its token, `__mood__`. Mode
    random picks one value per variant from the build seed, sequential goes round by row and variant, fanout
    multiplies. `base_prompt` stands before, after or instead of the text of every row.
    """

    rules: tuple[Slot, ...] = ()
    rules_mode: ChoiceMode = "random"
    wildcards: tuple[Slot, ...] = ()
    wildcards_mode: ChoiceMode = "random"
    base_prompt: str = ""
    prompt_mode: PromptMode = "replace"


@dataclass(frozen=True, slots=True)
class Block:
    """A block that counts: its choices, and its matrix as the one schema reads it (slots still inside)."""

    choices: PromptChoices = field(default_factory=PromptChoices)
    matrix: Mapping[str, Any] = field(default_factory=dict)


def read_block(raw: Mapping[str, Any], report: Report) -> Block:
    """Read an enabled block. A part counts only if it is enabled itself."""
    for key in raw.keys() - _INERT:
        report.warn(
            "unknown_key",
            f"randomization.{key} is not a known setting; it is ignored.",
            f"randomization.{key}",
        )
    rules_part, wildcards_part = _part(raw, "prompt_sr", report), _part(raw, "wildcards", report)
    matrix = dict(_part(raw, "matrix", report))
    base = matrix.pop("base_prompt", None)
    prompt_mode = matrix.pop("prompt_mode", None) or "replace"
    if not matrix.get("slots") and isinstance(matrix.get("raw_text"), str):
        matrix["slots"] = [_as_dict(slot) for slot in _slots_of_text(matrix["raw_text"], ":", report)]
    if raw.get("max_variants") and not matrix.get("limit"):
        matrix["limit"] = raw["max_variants"]
    choices = PromptChoices(
        rules=_slots(rules_part, "rules", ("search", "replacements"), "=>", str, report),
        rules_mode=_mode(rules_part, "prompt_sr", CHOICE_MODES, "random", report),
        wildcards=_slots(wildcards_part, "tokens", ("token", "values"), ":", _wildcard_name, report),
        wildcards_mode=_mode(wildcards_part, "wildcards", CHOICE_MODES, "random", report),
        base_prompt=base.strip() if isinstance(base, str) else "",
        prompt_mode=_mode({"mode": prompt_mode}, "matrix.prompt_mode", PROMPT_MODES, "replace", report),
    )
    return Block(choices, matrix)


def _part(raw: Mapping[str, Any], name: str, report: Report) -> Mapping[str, Any]:
    part = raw.get(name)
    if not isinstance(part, dict):
        if part:
            words = f"randomization.{name} is no object {{ ... }}; it is ignored."
            report.warn("wrong_value", words, f"randomization.{name}")
        return {}
    return part if is_on(part.get("enabled")) else {}


def _mode(part: Mapping[str, Any], name: str, modes: Mapping[str, M], default: M, report: Report) -> M:
    written = part.get("mode")
    if written is None or written == "":
        return default
    mode = modes.get(str(written).strip().lower())
    if mode is None:
        words = f"randomization.{name} mode {written!r} is unknown; {default} is taken."
        report.warn("unknown_mode", words, f"randomization.{name}")
    return mode or default


def _slots(
    part: Mapping[str, Any],
    key: str,
    names: tuple[str, str],
    separator: str,
    rename: Callable[[str], str],
    report: Report,
) -> tuple[Slot, ...]:
    """Named lists of values, from the part's own list or, where that is empty, from its text form."""
    found = []
    items = part.get(key)
    for item in items if isinstance(items, list) else []:
        name, values = (item.get(names[0]), item.get(names[1])) if isinstance(item, dict) else (None, None)
        if isinstance(name, str) and name.strip() and isinstance(values, list):
            found.append(
                Slot(name, tuple(str(value) for value in values if isinstance(value, str | int | float)))
            )
        else:
            report.warn(
                "malformed_slot", f"an entry of randomization {key} is malformed; it is left out.", key
            )
    if not found and isinstance(part.get("raw_text"), str):
        found = _slots_of_text(part["raw_text"], separator, report)
    if len(found) > MAX_SLOTS:
        words = f"randomization {key} holds {len(found):,} entries, and at most {MAX_SLOTS:,} are read; remove some."
        report.refuse("too_many_slots", words, key)
    slots = {rename(slot.name): tuple(dict.fromkeys(slot.values)) for slot in found[:MAX_SLOTS]}
    for name in [name for name, values in slots.items() if not values]:
        report.warn("empty_slot", f"randomization {key}: {name!r} has no values; it is left out.", name)
        del slots[name]
    return tuple(Slot(name, values) for name, values in slots.items())


def _slots_of_text(text: str, separator: str, report: Report) -> list[Slot]:
    """`name: a | b` or `search => a|b`, one a line; `#` lines are comments."""
    slots = []
    for line in text.splitlines():
        name, found, values = line.strip().partition(separator)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if found and name.strip():
            slots.append(
                Slot(name.strip(), tuple(value.strip() for value in values.split("|") if value.strip()))
            )
        else:
            report.warn("malformed_slot", f"randomization text {line.strip()!r} cannot be read.", "raw_text")
    return slots


def _as_dict(slot: Slot) -> dict[str, Any]:
    return {"name": slot.name, "values": list(slot.values)}


def _wildcard_name(name: str) -> str:
    """`mood` and `__mood__` are one wildcard."""
    return f"__{name.strip().strip('_')}__"
