"""Reading one section into its schema: aliases, unknown keys, wrong values, a person's overrides.

Files are read leniently: what cannot be read is told and its default counts. Only what decides what the picture
shows (`Section.MEANING`) is refused, and what a person has just typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from jobs.errors import UnreadableError
from jobs.packs.findings import Report
from jobs.packs.options import JsonScalar
from jobs.packs.sections import MatrixSection, PipelineSection, Section
from jobs.packs.values import fields_of, is_unset, read_exactly, read_leniently, shown

S = TypeVar("S", bound=Section)

Candidate = tuple[str, object]
"""A setting as it is written (`txt2img.cfg`) and its value."""


def read_section(
    kind: type[S],
    name: str,
    raw: Mapping[str, Any],
    asked: Mapping[str, JsonScalar],
    report: Report,
    *,
    preset: Mapping[str, Any] | None = None,
    is_used: bool = True,
) -> S:
    """A person's values over the pack's over the preset's over the defaults; None sets nothing.

    Nor does "" for a number, or in a pack for what the preset sets. Of a section that is not used nothing is refused.
    """
    own, below = _candidates(kind, name, raw, report), _candidates(kind, name, preset or {}, report)
    values: dict[str, Any] = {}
    for field_name in own | below:
        both = own.get(field_name, []), below.get(field_name, [])
        found = _read_field(kind, name, field_name, both, report, is_used=is_used)
        if found is not None:
            values[field_name] = found
    for key, value in asked.items():
        field_name = kind.ALIASES.get(key, key)
        values.pop(field_name, None)
        if not is_unset(kind, field_name, value):
            try:
                values[field_name] = read_exactly(kind, field_name, value)
            except UnreadableError as error:
                words = f"{name}.{field_name} is {shown(value)}: {error}."
                report.refuse("wrong_value", words, f"{name}.{field_name}")
    return kind.model_validate(values)


def _candidates(
    kind: type[Section], section: str, raw: Mapping[str, Any], report: Report
) -> dict[str, list[Candidate]]:
    """What is written for each field: under its own name first, then under its other names in their order."""
    found: dict[str, list[Candidate]] = {}
    fields = fields_of(kind)
    ranks = {alias: rank for rank, alias in enumerate(kind.ALIASES)}
    for key in sorted(raw, key=lambda key: (key not in fields, ranks.get(key, len(ranks)))):
        value, setting = raw[key], f"{section}.{key}"
        field_name = kind.ALIASES.get(key, key)
        if field_name in fields:
            if not is_unset(kind, field_name, value):
                found.setdefault(field_name, []).append((setting, value))
        elif key in kind.INERT:
            off = kind.INERT[key]
            if off is not None and value is not None and value not in off:
                report.warn("no_effect", f"{setting} is {shown(value)}; it has no effect here.", setting)
        elif not (kind is PipelineSection and key.endswith("_enabled")):
            report.warn("unknown_key", f"{setting} is not a known setting; it is ignored.", setting)
    return found


def _read_field(
    kind: type[Section],
    section: str,
    field_name: str,
    both: tuple[list[Candidate], list[Candidate]],
    report: Report,
    *,
    is_used: bool,
) -> Any:
    """The first value that can be read, the pack's before the preset's; None where there is none."""
    readable, wrong = [], []
    for source in both:
        good = []
        for setting, value in source:
            try:
                good.append((setting, value, *read_leniently(kind, field_name, value)))
            except UnreadableError as error:
                wrong.append((setting, f"{setting} is {shown(value)}: {error}"))
        _tell_differences(field_name, good, report)
        readable += good[:1]
    counts = next((found for found in readable if found[2] != ""), readable[0] if readable else None)
    if counts is not None and counts[3]:
        report.warn("adjusted_value", f"{counts[0]} is {shown(counts[1])}: {counts[3]}.", counts[0])
    for setting, words in wrong:
        if counts is not None:
            report.warn("wrong_value", f"{words}; {counts[0]} is {shown(counts[2])}, which counts.", setting)
        elif field_name in kind.MEANING and is_used:
            report.refuse("wrong_value", f"{words}; use --set {section}.{field_name}=VALUE.", setting)
        else:
            taken = shown(fields_of(kind)[field_name].default)
            report.warn("wrong_value", f"{words}; {taken} is taken.", setting)
    return counts[2] if counts is not None else None


def _tell_differences(field_name: str, good: list[tuple[str, object, Any, str]], report: Report) -> None:
    for setting, _, value, _ in good[1:]:
        if value != good[0][2]:
            words = f"{setting} is {shown(value)}, but {field_name} is {shown(good[0][2])}, which counts."
            report.warn("conflicting_alias", words, setting)


def is_on(value: object) -> bool:
    """Whether a switch of a file is on, as a field reads it; anything that cannot be read is off."""
    if is_unset(MatrixSection, "enabled", value):
        return False
    try:
        return read_leniently(MatrixSection, "enabled", value)[0] is True
    except UnreadableError:
        return False
