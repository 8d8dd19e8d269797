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
    typed = _read_typed(kind, name, asked, report)
    values: dict[str, Any] = {}
    switches = frozenset(kind.SWITCHES.values())
    for field_name in sorted(own | below, key=lambda found: found not in switches):
        both = own.get(field_name, []), below.get(field_name, [])
        switch = kind.SWITCHES.get(field_name)
        counts = is_used and (switch is None or _value_of(kind, switch, typed, values))
        found = _read_field(kind, name, field_name, both, report, is_used=counts and field_name not in typed)
        if found is not None:
            values[field_name] = found
    return kind.model_validate({name: value for name, value in (values | typed).items() if value is not None})


def _read_typed(
    kind: type[S], section: str, asked: Mapping[str, JsonScalar], report: Report
) -> dict[str, Any]:
    """What a person has typed, None for what that person has unset."""
    typed: dict[str, Any] = {}
    for key, value in asked.items():
        field_name = kind.ALIASES.get(key, key)
        typed[field_name] = None
        if not is_unset(kind, field_name, value):
            try:
                typed[field_name] = read_exactly(kind, field_name, value)
            except UnreadableError as error:
                words = f"{section}.{field_name} is {shown(value)}: {error}."
                report.refuse("wrong_value", words, f"{section}.{field_name}")
    return typed


def _value_of(kind: type[Section], field_name: str, *sources: Mapping[str, Any]) -> Any:
    """Of the first source that has the field, else its default."""
    found = next((source[field_name] for source in sources if field_name in source), None)
    return fields_of(kind)[field_name].default if found is None else found


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
            if off is not None and not _says_off(value, off):
                report.warn("no_effect", f"{setting} is {shown(value)}; it has no effect here.", setting)
        elif not (kind is PipelineSection and key.endswith("_enabled")):
            report.warn("unknown_key", f"{setting} is not a known setting; it is ignored.", setting)
    return found


def _says_off(value: object, off: tuple[Any, ...]) -> bool:
    """Whether a value is one of those that mean "off", or says nothing; numbers and switches also as text."""
    if is_unset(MatrixSection, "enabled", value) or value in off:
        return True
    if False in off:
        return _switch(value) is False
    return isinstance(value, str) and value.strip().lower() in {str(one).lower() for one in off}


def read_given(
    kind: type[Section], name: str, raw: Mapping[str, Any], report: Report
) -> dict[str, JsonScalar]:
    """Only what `raw` itself sets, to stand over a section: read and told as the section's own settings are.

    What cannot be read is left out.
    """
    values: dict[str, JsonScalar] = {}
    for field_name, candidates in _candidates(kind, name, raw, report).items():
        value, wrong = _that_counts(kind, field_name, (candidates, []), report)
        for setting, words in wrong:
            report.warn("wrong_value", f"{words}; it is left out.", setting)
        if value is not None:
            values[field_name] = value
    return values


def _read_field(
    kind: type[Section],
    section: str,
    field_name: str,
    both: tuple[list[Candidate], list[Candidate]],
    report: Report,
    *,
    is_used: bool,
) -> Any:
    """The value that counts; None where none can be read, and the default does."""
    value, wrong = _that_counts(kind, field_name, both, report)
    for setting, words in wrong:
        if field_name in kind.MEANING and is_used:
            report.refuse(
                "wrong_value", f"{words}; {kind.REMEDY.format(setting=f'{section}.{field_name}')}.", setting
            )
        else:
            taken = shown(fields_of(kind)[field_name].default)
            report.warn("wrong_value", f"{words}; {taken} is taken.", setting)
    return value


def _that_counts(
    kind: type[Section],
    field_name: str,
    both: tuple[list[Candidate], list[Candidate]],
    report: Report,
) -> tuple[Any, list[tuple[str, str]]]:
    """The first value that can be read, the pack's before the preset's; without one None, and why not, by setting."""
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
    if counts is None:
        return None, wrong
    if counts[3]:
        report.warn("adjusted_value", f"{counts[0]} is {shown(counts[1])}: {counts[3]}.", counts[0])
    for setting, words in wrong:
        report.warn("wrong_value", f"{words}; {counts[0]} is {shown(counts[2])}, which counts.", setting)
    return counts[2], []


def _tell_differences(field_name: str, good: list[tuple[str, object, Any, str]], report: Report) -> None:
    for setting, _, value, _ in good[1:]:
        if value != good[0][2]:
            words = f"{setting} is {shown(value)}, but {field_name} is {shown(good[0][2])}, which counts."
            report.warn("conflicting_alias", words, setting)


def is_on(value: object) -> bool:
    """Whether a switch of a file is on, as a field reads it; anything that cannot be read is off."""
    return not is_unset(MatrixSection, "enabled", value) and _switch(value) is True


def _switch(value: object) -> bool | None:
    """What a switch says in any spelling; None for what none says."""
    try:
        return bool(read_leniently(MatrixSection, "enabled", value)[0])
    except UnreadableError:
        return None
