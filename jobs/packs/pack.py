"""A pack as a whole: its rows from the text (or from JSON slots where there is no text) and its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.errors import DocumentError, PackReadError, RecordProblem
from jobs.packs.document import PackDocument, parse_document, read_document, slots_of
from jobs.packs.findings import PackWarning, Report
from jobs.packs.grammar import PackRow, ParsedText, parse_text
from jobs.packs.options import JsonScalar
from jobs.packs.pack_lint import warn_of_doubled_keys, warn_of_prompts, warn_of_rows
from jobs.packs.sources import PackSource, document_beside, read_source
from jobs.packs.tags import EmbeddingTag

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
    def title(self) -> str:
        return self.document.title or self.source.pack_id

    def under(self, overrides: Mapping[str, JsonScalar], preset: str = "") -> Pack:
        """The same pack with a person's settings over its own, and a preset's JSON below them."""
        if not overrides and not preset:
            return self
        return _settle(self.source, self.text, self.data, self.unreadable, overrides, preset)

    def settings(self, overrides: Mapping[str, JsonScalar], report: Report) -> PackDocument:
        """Its settings with other overrides, over the same preset."""
        return read_document(self.data, overrides, report, self.preset)


def parse_pack(source: PackSource) -> Pack:
    """Read text and JSON: the one parse of a pack. Never raises; `problems` says what cannot be read."""
    data, unreadable = _parsed(source.document)
    if source.text.strip(_BLANK):
        text = parse_text(source.text, source.pack_id)
    else:
        text = _rows_of_slots(slots_of(data), source.pack_id)
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
    document = read_document(data, overrides, report, below)
    warn_of_prompts(document, report)
    if source.text.strip(_BLANK):
        report.warnings[:0] = text.warnings
        if document.slots and len(document.slots) != len(text.rows):
            words = (
                f"the text has {len(text.rows)} rows and the JSON {len(document.slots)} slots; "
                "the text counts."
            )
            report.warn("slots_differ", words, "pack_data.slots")
    else:
        report.warnings += text.warnings
    report.problems += text.problems
    warn_of_rows(text.rows, {wildcard.name for wildcard in document.choices.wildcards}, report)
    found = tuple(report.warnings), tuple(report.problems)
    return Pack(source, text, data, below, unreadable, document, *found)


def _parsed(text: str) -> tuple[dict[str, Any], str]:
    """The JSON, and why it cannot be read."""
    try:
        return parse_document(text), ""
    except DocumentError as error:
        return {}, str(error)


def _rows_of_slots(slots: Sequence[Mapping[str, Any]], pack: str) -> ParsedText:
    """JSON slots as the blocks that they would be in a text, read by the one parser."""
    blocks = []
    report = Report(pack)
    for number, slot in enumerate(slots, 1):
        block = _block_of_slot(slot)
        if block:
            blocks.append(block)
        else:
            report.warn(
                "empty_row", f"slot {number} of the JSON says nothing; it is left out.", f"slot {number}"
            )
        if slot.get("template_id"):
            words = f"slot {number} of the JSON uses a prompt template; it has no effect here."
            report.warn("no_effect", words, "template_id")
    parsed = parse_text("\n\n".join(blocks), pack)
    # Line numbers of a text that nobody wrote would mislead.
    warnings = [warning.model_copy(update={"line": None}) for warning in parsed.warnings]
    rows = tuple(replace(row, first_line=0, last_line=0) for row in parsed.rows)
    return ParsedText(rows, (*report.warnings, *warnings), parsed.problems)


def _block_of_slot(slot: Mapping[str, Any]) -> str:
    text, negative = _lines(slot.get("text")), _lines(slot.get("negative"))
    if not negative and "negative" in str(slot.get("name") or "").lower():
        text, negative = [], text
    lines = [
        " ".join(_embeddings(slot.get("positive_embeddings"))),
        *text,
        " ".join(_loras(slot.get("loras"))),
    ]
    lines += [
        f"neg: {words}" for words in (" ".join(_embeddings(slot.get("negative_embeddings"))), *negative)
    ]
    return "\n".join(line for line in lines if line.strip() not in ("", "neg:"))


def _lines(value: object) -> list[str]:
    return [line for line in re.split(r"\r\n|\r|\n", value) if line.strip()] if isinstance(value, str) else []


def _embeddings(items: object) -> list[str]:
    tags = []
    for item in items if isinstance(items, list) else []:
        name, weight = _name_and_weight(item)
        if name:
            tags.append(str(EmbeddingTag(name, "" if weight in ("", "1", "1.0") else weight)))
    return tags


def _loras(items: object) -> list[str]:
    tags = []
    for item in items if isinstance(items, list) else []:
        name, weight = _name_and_weight(item)
        if name:
            tags.append(f"<lora:{name}:{weight or '1.0'}>")
    return tags


def _name_and_weight(item: object) -> tuple[str, str]:
    """From `"name"`, `["name", 0.9]` or `{"name": .., "weight": ..}`."""
    name: object = item
    weight: object = None
    if isinstance(item, list):
        name, weight = ([*item, None, None])[:2]
    elif isinstance(item, dict):
        name, weight = item.get("name"), item.get("weight")
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    return (name.strip() if isinstance(name, str) else ""), (str(weight) if number else "")
