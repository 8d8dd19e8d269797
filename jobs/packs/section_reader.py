"""Reading one section into its schema: aliases, unknown keys, wrong values, a person's overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs.packs.findings import Report
from jobs.packs.options import JsonScalar
from jobs.packs.sections import PipelineSection, Section

S = TypeVar("S", bound=Section)


def read_section(
    kind: type[S],
    name: str,
    raw: Mapping[str, Any],
    asked: Mapping[str, JsonScalar],
    report: Report,
    *,
    preset: Mapping[str, Any] | None = None,
) -> S:
    """A person's values over the pack's over the preset's over the defaults; None sets nothing.

    Nor does "" for a number, or in a pack for what the preset sets. What is unknown is warned of; what is
    wrong is refused by name and read as its default.
    """
    values = _taken(kind, name, raw, report)
    for key, value in _taken(kind, name, preset or {}, report).items():
        if values.get(key, "") == "":
            values[key] = value
    for key, value in asked.items():
        field_name = kind.ALIASES.get(key, key)
        values.pop(field_name, None)
        if not _is_unset(kind, field_name, value):
            values[field_name] = _spelt(kind, field_name, value)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            wrong = str(detail["loc"][0])
            values.pop(wrong, None)
            words = f"{name}.{wrong} is {shown(detail['input'])}: {_expected(detail)}."
            report.refuse("wrong_value", words, f"{name}.{wrong}")
        return kind.model_validate(values)


def _taken(kind: type[Section], name: str, raw: Mapping[str, Any], report: Report) -> dict[str, Any]:
    values: dict[str, Any] = {}
    ranks = {alias: rank for rank, alias in enumerate(kind.ALIASES)}
    for key in sorted(raw, key=lambda key: (key not in kind.model_fields, ranks.get(key, len(ranks)))):
        _take(kind, name, key, raw[key], values, report)
    return values


def _take(
    kind: type[Section], section: str, key: str, value: object, values: dict[str, Any], report: Report
) -> None:
    field_name = kind.ALIASES.get(key, key)
    setting = f"{section}.{key}"
    if field_name in kind.model_fields:
        if _is_unset(kind, field_name, value):
            return
        value = _spelt(kind, field_name, value)
        if field_name in values and values[field_name] != value:
            counts = shown(values[field_name])
            words = f"{setting} is {shown(value)}, but {field_name} is {counts}, which counts."
            report.warn("conflicting_alias", words, setting)
        values.setdefault(field_name, value)
    elif key in kind.INERT:
        off = kind.INERT[key]
        if off is not None and value is not None and value not in off:
            report.warn("no_effect", f"{setting} is {shown(value)}; it has no effect here.", setting)
    elif not (kind is PipelineSection and key.endswith("_enabled")):
        report.warn("unknown_key", f"{setting} is not a known setting; it is ignored.", setting)


def _is_unset(kind: type[Section], field_name: str, value: object) -> bool:
    return value is None or (value == "" and kind.model_fields[field_name].default != "")


def _spelt(kind: type[Section], field_name: str, value: object) -> object:
    spellings = kind.SPELLINGS.get(field_name)
    return spellings.get(value.strip().lower(), value) if spellings and isinstance(value, str) else value


def shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind.startswith("int"):
        return "a whole number is expected"
    if kind.startswith("float"):
        return "a number is expected"
    if kind.startswith("bool"):
        return "true or false is expected"
    if kind == "greater_than_equal":
        return f"at least {context.get('ge')} is expected"
    if kind == "less_than_equal":
        return f"at most {context.get('le')} is expected"
    if kind in ("string_too_long", "too_long"):
        return f"at most {context.get('max_length')} characters are expected"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    return detail["msg"]
