"""Settings of single rows: `pack_data.row_settings`, `{"3": {"txt2img.steps": 30}}`, rows counted from 1.

They stand over the pack's own settings and under what a person asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.packs.findings import Report
from jobs.packs.kinds import sections_of, stages_of
from jobs.packs.options import JsonScalar
from jobs.packs.section_reader import read_given
from jobs.packs.values import shown

RowSettings = Mapping[int, Mapping[str, JsonScalar]]
"""By row, counted from 0."""

WHERE = "pack_data.row_settings"


def read_row_settings(raw: object, kind: str, report: Report) -> RowSettings:
    """Every setting that can be read, as in the pack's own sections; what cannot is told and left out."""
    if not isinstance(raw, dict):
        if raw:
            report.warn(
                "wrong_value", f"{WHERE} is {shown(raw)}: an object {{ ... }} is expected; it is ignored."
            )
        return {}
    found: dict[int, Mapping[str, JsonScalar]] = {}
    for key, settings in raw.items():
        row = int(key) if key.isascii() and key.isdigit() and len(key) < 9 else 0
        if row < 1 or not isinstance(settings, dict):
            words = f"{WHERE} has {shown(key)}: {shown(settings)}, no row and its settings; it is left out."
            report.warn("wrong_value", words, WHERE)
            continue
        read = _settings(row, settings, kind, report)
        if read:
            found[row - 1] = read
    return found


def is_prompt(path: str) -> bool:
    """Whether a setting belongs to a row's prompts, which do not vary with settings."""
    key = path.partition(".")[2]
    return "prompt" in key or key.startswith("negative")


def _settings(row: int, settings: Mapping[str, Any], kind: str, report: Report) -> dict[str, JsonScalar]:
    given: dict[str, dict[str, Any]] = {}
    sections = sections_of(kind)
    found = Report(report.pack)
    for path, value in settings.items():
        section, _, key = path.partition(".")
        read_by = sections.get(section)
        name = read_by.ALIASES.get(key, key) if read_by else key
        is_known = read_by is not None and section in stages_of(kind) and name in read_by.model_fields
        if not is_known or is_prompt(path):
            found.warn("unknown_key", f"{path} is no setting that a row can have; it is left out.", path)
        else:
            given.setdefault(section, {})[key] = value
    read = {
        f"{section}.{name}": value
        for section, raw in given.items()
        for name, value in read_given(sections[section], section, raw, found).items()
    }
    for warning in found.warnings:
        report.warn(warning.code, f"{WHERE}, row {row}: {warning.message}", warning.field)
    report.warnings.left_out += found.warnings.left_out
    return read
