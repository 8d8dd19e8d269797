"""Settings of single rows: `pack_data.row_settings`, `{"3": {"txt2img.steps": 30}}`, rows counted from 1.

They stand over the pack's own settings and under what a person asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.errors import UnreadableError
from jobs.packs.findings import Report
from jobs.packs.options import JsonScalar
from jobs.packs.sections import Section
from jobs.packs.values import is_unset, read_leniently, shown
from jobs.records.stage_config import STAGES

RowSettings = Mapping[int, Mapping[str, JsonScalar]]
"""By row, counted from 0."""

WHERE = "pack_data.row_settings"


def read_row_settings(raw: object, sections: Mapping[str, type[Section]], report: Report) -> RowSettings:
    """Every setting that can be read; what cannot is told and left out."""
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
        read = dict(_settings(row, settings, sections, report))
        if read:
            found[row - 1] = read
    return found


def is_prompt(path: str) -> bool:
    """Whether a setting belongs to a row's prompts, which do not vary with settings."""
    key = path.partition(".")[2]
    return "prompt" in key or key.startswith("negative")


def _settings(
    row: int, settings: Mapping[str, Any], sections: Mapping[str, type[Section]], report: Report
) -> list[tuple[str, JsonScalar]]:
    found: list[tuple[str, JsonScalar]] = []
    for path, value in settings.items():
        section, _, key = path.partition(".")
        kind = sections.get(section)
        name = kind.ALIASES.get(key, key) if kind else key
        if kind is None or section not in STAGES or name not in kind.model_fields or is_prompt(path):
            words = f"{WHERE}: {path} of row {row} is no setting that a row can have; it is left out."
            report.warn("unknown_key", words, path)
        elif not is_unset(kind, name, value):
            try:
                found.append((f"{section}.{name}", read_leniently(kind, name, value)[0]))
            except UnreadableError as error:
                words = f"{WHERE}: {path} of row {row} is {shown(value)}: {error}; it is left out."
                report.warn("wrong_value", words, path)
    return found
