"""The `randomization` block of older packs: search-and-replace rules, wildcards, and a matrix with a base prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, TypeVar

from jobs.errors import UnreadableError
from jobs.packs.findings import Report
from jobs.packs.matrix import Slot
from jobs.packs.matrix_slots import MATRIX_SLOT, SlotKind, read_slots
from jobs.packs.section_reader import read_section
from jobs.packs.sections import RandomizationSection, Section, Text
from jobs.packs.values import is_unset, read_leniently, shown

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
_PART_KEYS: Final = frozenset({"enabled", "mode", "raw_text"})


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


class _BasePrompt(Section):
    """The prompt of the matrix, read as every prompt of a pack is."""

    base_prompt: Text = ""

    MEANING: ClassVar[frozenset[str]] = frozenset({"base_prompt"})


def read_block(raw: Mapping[str, Any], report: Report) -> Block:
    """Read an enabled block. A part counts only if it is enabled itself."""
    _tell_unknown(raw, _INERT, "randomization", report)
    rules_part, wildcards_part = _part(raw, "prompt_sr", report), _part(raw, "wildcards", report)
    _tell_unknown(rules_part, _PART_KEYS | {"rules"}, "randomization.prompt_sr", report)
    _tell_unknown(wildcards_part, _PART_KEYS | {"tokens"}, "randomization.wildcards", report)
    matrix = dict(_part(raw, "matrix", report))
    base = _base_prompt(matrix.pop("base_prompt", None), report)
    prompt_mode = matrix.pop("prompt_mode", None) or "replace"
    if not matrix.get("slots") and isinstance(matrix.get("raw_text"), str):
        matrix["slots"] = _slots_of_text(matrix["raw_text"], ":", MATRIX_SLOT, report)
    if raw.get("max_variants") and not matrix.get("limit"):
        matrix["limit"] = raw["max_variants"]
    choices = PromptChoices(
        rules=_slots(rules_part, "prompt_sr.rules", _RULE, "=>", report),
        rules_mode=_mode(rules_part, "prompt_sr", CHOICE_MODES, "random", report),
        wildcards=_slots(wildcards_part, "wildcards.tokens", _WILDCARD, ":", report),
        wildcards_mode=_mode(wildcards_part, "wildcards", CHOICE_MODES, "random", report),
        base_prompt=base,
        prompt_mode=_mode({"mode": prompt_mode}, "matrix.prompt_mode", PROMPT_MODES, "replace", report),
    )
    return Block(choices, matrix)


def _tell_unknown(raw: Mapping[str, Any], known: frozenset[str], where: str, report: Report) -> None:
    for key in [key for key in raw if key not in known]:
        report.warn("unknown_key", f"{where}.{key} is not a known setting; it is ignored.", f"{where}.{key}")


def _part(raw: Mapping[str, Any], name: str, report: Report) -> Mapping[str, Any]:
    part, where = raw.get(name), f"randomization.{name}"
    if not isinstance(part, dict):
        if part:
            report.warn("wrong_value", f"{where} is no object {{ ... }}; it is ignored.", where)
        return {}
    switch = {"enabled": part.get("enabled")}
    return part if read_section(RandomizationSection, where, switch, {}, report).enabled else {}


def _base_prompt(raw: object, report: Report) -> str:
    """What cannot be read decides the picture, so it is refused."""
    where = "randomization.matrix.base_prompt"
    if is_unset(_BasePrompt, "base_prompt", raw):
        return ""
    try:
        base, note = read_leniently(_BasePrompt, "base_prompt", raw)
    except UnreadableError as error:
        report.refuse(
            "wrong_value", f"{where} is {shown(raw)}: {error}; write it as one text or remove it.", where
        )
        return ""
    if note:
        report.warn("adjusted_value", f"{where} is {shown(raw)}: {note}.", where)
    return str(base).strip()


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
    part: Mapping[str, Any], key: str, kind: SlotKind, separator: str, report: Report
) -> tuple[Slot, ...]:
    """Named lists of values, from the part's own list or, where that is empty, from its text form."""
    where = f"randomization.{key}"
    found = read_slots(part.get(key.partition(".")[2]), where, report, kind)
    if not found and isinstance(part.get("raw_text"), str):
        found = read_slots(_slots_of_text(part["raw_text"], separator, kind, report), where, report, kind)
    return tuple(slot for slot in found if slot.values)


def _slots_of_text(text: str, separator: str, kind: SlotKind, report: Report) -> list[dict[str, Any]]:
    """`name: a | b` or `search => a|b`, one a line, as a list would hold them; `#` lines are comments."""
    slots: list[dict[str, Any]] = []
    for line in text.splitlines():
        name, found, values = line.strip().partition(separator)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if found and name.strip():
            listed = [value.strip() for value in values.split("|") if value.strip()]
            slots.append({kind.name: name.strip(), kind.values: listed})
        else:
            report.warn("malformed_slot", f"randomization text {line.strip()!r} cannot be read.", "raw_text")
    return slots


def _wildcard_name(name: str) -> str:
    """`mood` and `__mood__` are one wildcard."""
    return f"__{name.strip().strip('_')}__"


# What a rule searches is taken with its spaces.
_RULE: Final = SlotKind("rule", "search", "replacements", str)
_WILDCARD: Final = SlotKind("wildcard", "token", "values", _wildcard_name)
