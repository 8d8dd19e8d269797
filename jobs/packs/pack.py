"""A pack as a whole: its rows from the text (or from JSON slots where there is no text) and its settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.packs.document import DocumentError, PackDocument, parse_document, read_document
from jobs.packs.findings import PackWarning, Report
from jobs.packs.grammar import PackRow, parse_text
from jobs.packs.lint import half_tokens
from jobs.packs.matrix import TOKEN_RE
from jobs.packs.options import JsonScalar
from jobs.packs.randomization import WILDCARD_RE
from jobs.packs.sources import PackSource
from jobs.packs.tags import EmbeddingTag


@dataclass(frozen=True, slots=True)
class Pack:
    """What a pack says, before anything is chosen or expanded."""

    rows: tuple[PackRow, ...]
    document: PackDocument


def read_pack(
    source: PackSource, overrides: Mapping[str, JsonScalar], report: Report, preset: str = ""
) -> Pack:
    """Read text and JSON over a preset's JSON. Never raises; what is odd or wrong is in `report`."""
    data = _parsed(source.document, "bad_json", "its JSON", report)
    below = _parsed(preset, "bad_preset", "the preset's JSON", report)
    document = read_document(data, overrides, report, below)
    if source.text.strip("\ufeff \t\r\n"):
        parsed = parse_text(source.text, source.pack_id)
        rows = parsed.rows
        report.warnings[:0] = parsed.warnings
        report.problems += parsed.problems
        if document.slots and len(document.slots) != len(rows):
            words = (
                f"the text has {len(rows)} rows and the JSON {len(document.slots)} slots; the text counts."
            )
            report.warn("slots_differ", words, "pack_data.slots")
    else:
        rows = _rows_of_slots(document.slots, source.pack_id, report)
    _warn_of_rows(rows, {wildcard.name for wildcard in document.choices.wildcards}, report)
    return Pack(rows, document)


def _parsed(text: str, code: str, what: str, report: Report) -> dict[str, Any]:
    try:
        return parse_document(text)
    except DocumentError as error:
        report.refuse(code, f"{what} cannot be read: {error}.", "json")
        return {}


def _rows_of_slots(slots: Sequence[Mapping[str, Any]], pack: str, report: Report) -> tuple[PackRow, ...]:
    """JSON slots as the blocks that they would be in a text, read by the one parser."""
    blocks = []
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
    report.warnings += [replace_line(warning) for warning in parsed.warnings]
    report.problems += parsed.problems
    return tuple(replace(row, first_line=0, last_line=0) for row in parsed.rows)


def replace_line(warning: PackWarning) -> PackWarning:
    return warning.model_copy(update={"line": None})


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


def _warn_of_rows(rows: Sequence[PackRow], wildcards: Collection[str], report: Report) -> None:
    for row in rows:
        text = f"{row.positive_text}\n{row.negative_text}"
        line, number = row.first_line or None, row.index + 1
        found = []
        if half_tokens(TOKEN_RE.sub("", text)):
            found.append(("half_token", "it has brackets that look like a broken [[token]]"))
        found += [
            ("wildcard", f"wildcard {name} has no values here; it is sent as it stands")
            for name in dict.fromkeys(WILDCARD_RE.findall(text))
            if name not in wildcards
        ]
        for code, words in found:
            message = f"row {number}: {words}."
            report.warnings.append(PackWarning(code=code, message=message, line=line, row=number))
