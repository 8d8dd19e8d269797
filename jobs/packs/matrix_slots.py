"""The slots of a matrix in a pack's JSON, in any form in which people write them."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.packs.findings import Report
from jobs.packs.matrix import MAX_SLOTS, Slot
from jobs.packs.values import shown


def read_slots(raw: object, where: str, report: Report) -> tuple[Slot, ...]:
    """Matrix slots from a list of {name, values} or an object of lists; doubled values count once."""
    if isinstance(raw, dict):
        raw = [{"name": name, "values": values} for name, values in raw.items()]
    if not raw:
        return ()
    if not isinstance(raw, list):
        report.warn("malformed_slot", f"{where} is {shown(raw)}, no list of slots; it is left out.", where)
        return ()
    if len(raw) > MAX_SLOTS:
        words = f"{where} holds {len(raw):,} slots, and at most {MAX_SLOTS:,} are read; remove some."
        report.refuse("too_many_slots", words, where)
    slots: dict[str, Slot] = {}
    for item in raw[:MAX_SLOTS]:
        name = str(item.get("name") or "").strip() if isinstance(item, dict) else ""
        values = item.get("values") if isinstance(item, dict) else None
        if isinstance(values, str | int | float) and not isinstance(values, bool):
            values = _values_of_text(str(values), name, report)
        if not name or not isinstance(values, list | type(None)):
            report.warn("malformed_slot", f"{where}: {shown(item)} is no slot; it is left out.", where)
        elif name in slots:
            report.warn("duplicate_slot", f"matrix slot {name!r} is defined twice; the first counts.", name)
        else:
            slots[name] = _slot(name, values or [], report)
    return tuple(slots.values())


def _values_of_text(text: str, name: str, report: Report) -> list[str]:
    """`a | b`, one a line, or `a, b`: by the first of these marks that is there."""
    mark = next((mark for mark in ("\n", "|", ",") if mark in text), None)
    values = [value.strip() for value in text.split(mark)] if mark else [text.strip()]
    words = f"matrix slot {name!r} has one text instead of a list of values; it is read as {len(values)}."
    report.warn("adjusted_value", words, name)
    return [value for value in values if value]


def _slot(name: str, values: Sequence[object], report: Report) -> Slot:
    texts = [str(value) for value in values if isinstance(value, str | int | float)]
    if len(texts) < len(values):
        words = (
            f"matrix slot {name!r} has {len(values) - len(texts)} values that are no text; they are left out."
        )
        report.warn("malformed_slot", words, name)
    unique = tuple(dict.fromkeys(texts))
    if not unique:
        report.warn("empty_slot", f"matrix slot {name!r} has no values.", name)
    if len(unique) < len(texts):
        report.warn("duplicate_value", f"matrix slot {name!r} repeats a value; it counts once.", name)
    return Slot(name, unique)
