"""Named lists of values in a pack's JSON, in any form in which people write them: slots, rules, wildcards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs.packs.findings import Report
from jobs.packs.matrix import MAX_SLOTS, Slot
from jobs.packs.values import shown


@dataclass(frozen=True, slots=True)
class SlotKind:
    """What a named list of values is called (`noun`), and the keys of its name and its values."""

    noun: str
    name: str
    values: str
    read_name: Callable[[str], str] = str.strip


MATRIX_SLOT: Final = SlotKind("matrix slot", "name", "values")


def read_slots(raw: object, where: str, report: Report, kind: SlotKind = MATRIX_SLOT) -> tuple[Slot, ...]:
    """From a list of {name, values} or an object of lists; doubled values count once, of a doubled name the first."""
    if isinstance(raw, dict):
        raw = [{kind.name: name, kind.values: values} for name, values in raw.items()]
    if not raw:
        return ()
    if not isinstance(raw, list):
        report.warn(
            "malformed_slot", f"{where} is {shown(raw)}, no list of {kind.noun}s; it is left out.", where
        )
        return ()
    if len(raw) > MAX_SLOTS:
        words = f"{where} holds {len(raw):,} {kind.noun}s, and at most {MAX_SLOTS:,} are read; remove some."
        report.refuse("too_many_slots", words, where)
    slots: dict[str, Slot] = {}
    for item in raw[:MAX_SLOTS]:
        name, values = _parts(item, kind)
        if isinstance(values, str | int | float) and not isinstance(values, bool):
            values = _values_of_text(str(values), f"{kind.noun} {name!r}", name, report)
        if not name or not isinstance(values, list | type(None)):
            report.warn("malformed_slot", f"{where}: {shown(item)} is no {kind.noun}; it is left out.", where)
            continue
        for key in [key for key in item if key not in (kind.name, kind.values)]:
            words = f"{kind.noun} {name!r}: {shown(key)} is not known; it is ignored."
            report.warn("unknown_key", words, name)
        if name in slots:
            report.warn("duplicate_slot", f"{kind.noun} {name!r} is defined twice; the first counts.", name)
        else:
            slots[name] = _slot(name, values or [], f"{kind.noun} {name!r}", report)
    return tuple(slots.values())


def _parts(item: object, kind: SlotKind) -> tuple[str, Any]:
    """The name, "" where there is none, and the values as they are written."""
    if not isinstance(item, dict):
        return "", None
    name = item.get(kind.name)
    text = str(name) if isinstance(name, str | int | float) and not isinstance(name, bool) else ""
    return kind.read_name(text) if text.strip() else "", item.get(kind.values)


def _values_of_text(text: str, what: str, name: str, report: Report) -> list[str]:
    """`a | b`, one a line, or `a, b`: by the first of these marks that is there."""
    mark = next((mark for mark in ("\n", "|", ",") if mark in text), None)
    values = [value.strip() for value in text.split(mark)] if mark else [text.strip()]
    words = f"{what} has one text instead of a list of values; it is read as {len(values)}."
    report.warn("adjusted_value", words, name)
    return [value for value in values if value]


def _slot(name: str, values: Sequence[object], what: str, report: Report) -> Slot:
    texts = [
        str(value) for value in values if isinstance(value, str | int | float) and not isinstance(value, bool)
    ]
    if len(texts) < len(values):
        words = f"{what} has {len(values) - len(texts)} values that are no text; they are left out."
        report.warn("malformed_slot", words, name)
    if any(text and not text.strip() for text in texts):
        words = f"{what} has a value of nothing but spaces; it is read as an empty one."
        report.warn("adjusted_value", words, name)
        texts = [text if text.strip() else "" for text in texts]
    unique = tuple(dict.fromkeys(texts))
    if not unique:
        report.warn("empty_slot", f"{what} has no values.", name)
    if len(unique) < len(texts):
        report.warn("duplicate_value", f"{what} repeats a value; it counts once.", name)
    return Slot(name, unique)
