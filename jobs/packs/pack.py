"""A pack as a whole: its rows from the text (or from JSON slots where there is no text) and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from jobs.errors import DocumentError, PackReadError, RecordProblem
from jobs.packs.document import PackDocument, parse_document, read_document, slots_of
from jobs.packs.findings import PackWarning, Report, told
from jobs.packs.formats import refuse_other_files
from jobs.packs.grammar import PackRow, ParsedText, blocks_of, parse_text
from jobs.packs.json_lines import parse_lines
from jobs.packs.json_rows import rows_of_slots
from jobs.packs.kinds import IMAGE
from jobs.packs.options import JsonScalar
from jobs.packs.pack_lint import warn_of_doubled_keys, warn_of_prompts, warn_of_rows
from jobs.packs.sources import PackSource, document_beside, read_source

_BLANK = "\ufeff \t\r\n"


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack read once, before anything is chosen or expanded.

    `document` holds its settings, `warnings` and `problems` what reading found. `text` has the rows, `data` the
    JSON and `preset` that of another pack below it; `unreadable` says why the JSON is none, "" where it is one.
    """

    source: PackSource
    text: ParsedText
    data: Mapping[str, Any]
    preset: Mapping[str, Any]
    unreadable: str
    document: PackDocument
    warnings: tuple[PackWarning, ...]
    problems: tuple[RecordProblem, ...]

    @property
    def rows(self) -> tuple[PackRow, ...]:
        return self.text.rows

    @property
    def kind(self) -> str:
        return self.source.kind

    @property
    def title(self) -> str:
        return self.document.title or self.source.pack_id

    def under(self, overrides: Mapping[str, JsonScalar], preset: str = "") -> Pack:
        """The same pack with a person's settings over its own, and a preset's JSON below them."""
        if not overrides and not preset:
            return self
        return _settle(self.source, self.text, self.data, self.unreadable, overrides, preset)

    def settings(self, overrides: Mapping[str, JsonScalar], report: Report) -> PackDocument:
        """Its settings with other overrides, over the same preset."""
        return read_document(self.data, overrides, report, self.preset, self.kind)


def parse_pack(source: PackSource) -> Pack:
    """Read text and JSON: the one parse of a pack. Never raises; `problems` says what cannot be read."""
    data, unreadable = _parsed(source.document)
    if source.kind != IMAGE:
        text = parse_lines(source.text, source.kind, source.pack_id)
    elif source.text.strip(_BLANK):
        text = parse_text(source.text, source.pack_id)
    else:
        text = rows_of_slots(slots_of(data), source.pack_id)
    return _settle(source, text, data, unreadable, {}, "")


def read_pack(path: Path) -> Pack:
    """The pack in a file and the one beside it. Raises PackReadError, also for JSON that cannot be read."""
    pack = parse_pack(read_source(path))
    if pack.unreadable:
        raise PackReadError(f"{document_beside(path)} is not valid JSON: {pack.unreadable}.")
    return pack


def _settle(
    source: PackSource,
    text: ParsedText,
    data: Mapping[str, Any],
    unreadable: str,
    overrides: Mapping[str, JsonScalar],
    preset: str,
) -> Pack:
    report = Report(source.pack_id)
    if unreadable:
        report.refuse("bad_json", f"its JSON cannot be read: {unreadable}.", "json")
    below, wrong = _parsed(preset) if preset else ({}, "")
    if wrong:
        report.refuse("bad_preset", f"the preset's JSON cannot be read: {wrong}.", "json")
    warn_of_doubled_keys(data, report)
    warn_of_doubled_keys(below, report, "the preset")
    document = read_document(data, overrides, report, below, source.kind)
    warn_of_prompts(document, report)
    for row in sorted(document.row_settings):
        if row >= len(text.rows):
            words = (
                f"pack_data.row_settings has settings of row {row + 1}; the pack has {len(text.rows)} rows."
            )
            report.warn("unknown_row", words, "pack_data.row_settings")
    if source.text.strip(_BLANK):
        report.warnings.keep(text.warnings)
        if document.slots and len(document.slots) != len(text.rows):
            words = (
                f"the text has {len(text.rows)} rows and the JSON {len(document.slots)} slots; "
                "the text counts."
            )
            report.warn("slots_differ", words, "pack_data.slots")
    else:
        report.warnings.keep(text.warnings)
    report.problems += text.problems
    if source.kind == IMAGE and not source.document.strip(_BLANK):
        refuse_other_files(tuple(islice(blocks_of(source.text), 2)), report)
    warn_of_rows(text.rows, {wildcard.name for wildcard in document.choices.wildcards}, report)
    found = told(report.warnings), tuple(report.problems)
    return Pack(source, text, data, below, unreadable, document, *found)


def _parsed(text: str) -> tuple[dict[str, Any], str]:
    """The JSON, and why it cannot be read."""
    try:
        return parse_document(text), ""
    except DocumentError as error:
        return {}, str(error)
