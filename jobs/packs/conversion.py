"""Prompts as other programs write them, made into a pack: rows in our text, their settings in its JSON."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jobs.errors import DocumentError, PackReadError
from jobs.packs.copied_pictures import copied_rows
from jobs.packs.document import ROOT_PACK_KEYS
from jobs.packs.foreign_rows import ForeignRow, Notes, take, tell_second, tell_unknown
from jobs.packs.formats import NEG_RE, NEGATIVE_RE, OPTION_RE, STEPS_RE, Format, Line
from jobs.packs.grammar import MAX_LINE_CHARS, lines_of, trim
from jobs.packs.json_text import dump_document, object_of, pairs_of, parse_document
from jobs.packs.options import JsonScalar
from jobs.packs.row_settings import WHERE
from jobs.packs.sources import PackSource
from jobs.packs.values import shown

_OPTIONS: Final[Mapping[str, str]] = {
    "steps": "txt2img.steps",
    "cfg_scale": "txt2img.cfg_scale",
    "width": "txt2img.width",
    "height": "txt2img.height",
    "seed": "txt2img.seed",
    "subseed": "txt2img.subseed",
    "subseed_strength": "txt2img.subseed_strength",
    "sampler_name": "txt2img.sampler_name",
    "scheduler": "txt2img.scheduler",
    "sd_model": "txt2img.model",
}
"""Options of “Prompts from file” that are settings here."""

_TWICE: Final = re.compile(r"\[\[|\]\]")


@dataclass(frozen=True, slots=True)
class Converted:
    """The pack, and what of the file is not in it, a sentence each."""

    source: PackSource
    notes: tuple[str, ...]


def convert(source: PackSource, to: Format) -> Converted:
    """The pack that a file of that format means. Raises PackReadError where no prompt is in it.

    Settings of a line become settings of its row, over those of the JSON beside the text. `[[word]]` is A1111's way
    to weaken a word in every format but `lines`, and stays that.
    """
    notes = Notes()
    raw = list(enumerate(lines_of(source.text.lstrip("\ufeff")), 1))
    long = next((number for number, line in raw if len(line) > MAX_LINE_CHARS), None)
    if long is not None:
        raise PackReadError(
            f"{source.pack_id}: line {long} has more than {MAX_LINE_CHARS:,} characters; split it."
        )
    lines = [(number, trim(line)) for number, line in raw]
    is_copied = any(STEPS_RE.match(line) or NEGATIVE_RE.match(line) for _, line in lines)
    if to == "civitai" or (to == "a1111" and is_copied):
        rows = list(copied_rows(lines, notes))
    else:
        rows = list(_one_a_line(lines, to, notes))
    rows = [row for row in rows if row.positive]
    if not rows:
        raise PackReadError(f"{source.pack_id} holds no prompt in the format {to}.")
    text = "\n\n".join(_block(row, to, notes) for row in rows) + "\n"
    document = _document(source, [row.settings for row in rows], notes)
    return Converted(PackSource(source.pack_id, text, document), notes.listed())


def _one_a_line(lines: list[Line], to: Format, notes: Notes) -> Iterator[ForeignRow]:
    last: ForeignRow | None = None
    for number, line in lines:
        negative = NEG_RE.match(line) if to == "lines" else None
        if not line or line.startswith("#"):
            continue
        if negative and last is not None:
            words = trim(line[negative.end() :])
            last.negative = f"{last.negative}\n{words}".strip()
            continue
        if negative:
            notes.add(number, "a negative prompt has no prompt above it; it is left out.")
            continue
        if last is not None:
            yield last
        last = (
            _of_options(number, line, notes)
            if to == "a1111" and OPTION_RE.match(line)
            else ForeignRow(number, line)
        )
    if last is not None:
        yield last


def _of_options(number: int, line: str, notes: Notes) -> ForeignRow:
    """`--prompt "a pier" --steps 20`, split as a shell would."""
    row = ForeignRow(number, "")
    try:
        words = shlex.split(line)
    except ValueError:
        notes.add(number, "a quotation mark is not closed; the line is read as a prompt.")
        return ForeignRow(number, line)
    for option, values in _options(words):
        name, _, first = option.removeprefix("--").partition("=")
        name = name.lower()
        value = " ".join([first, *values]).strip()
        if name == "prompt":
            tell_second(row, f"--{name}", row.positive, value, notes)
            row.positive = value
        elif name == "negative_prompt":
            tell_second(row, f"--{name}", row.negative, value, notes)
            row.negative = value
        else:
            take(row, _OPTIONS.get(name, ""), value, f"--{name}", notes)
    tell_unknown(row, notes)
    if not row.positive:
        notes.add(number, "it has no --prompt; it is left out.")
    return row


def _options(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each option with the words up to the next one: prompts are not always quoted."""
    option, values = "", list[str]()
    for word in words:
        if OPTION_RE.match(word):
            if option:
                yield option, values
            option, values = word, []
        else:
            values.append(word)
    if option:
        yield option, values


def _block(row: ForeignRow, to: Format, notes: Notes) -> str:
    lines = [_safe(row, row.positive, to, notes)]
    lines += [f"neg: {_safe(row, words, to, notes)}" for words in row.negative.split("\n") if words.strip()]
    return "\n".join(lines)


def _safe(row: ForeignRow, words: str, to: Format, notes: Notes) -> str:
    """Words that mean the same in our text."""
    words = " ".join(words.split("\n")).strip()
    if words.startswith("#") or NEG_RE.match(words):
        notes.add(
            row.line, "a comma stands before its first word, which would mean something else in a pack."
        )
        words = f", {words}"
    if to != "lines" and "[[" in words:
        words = _TWICE.sub(
            lambda match: " ".join(match[0]), _TWICE.sub(lambda match: " ".join(match[0]), words)
        )
    return words


def _document(source: PackSource, settings: list[dict[str, JsonScalar]], notes: Notes) -> str:
    """The JSON beside the text with the settings of the rows; to the byte as it is where they change nothing.

    Settings that it has of single rows count the rows of another text and are left out.
    """
    rows: dict[str, Any] = {str(number): own for number, own in enumerate(settings, 1) if own}
    try:
        data = parse_document(source.document)
    except DocumentError as error:
        if not rows:
            return source.document  # Reading it as a pack says what is wrong.
        raise PackReadError(f"{source.pack_id}.json is not valid JSON: {error}.") from None
    pack_data = data.get("pack_data") or {}
    has_old_rows = isinstance(pack_data, dict) and bool(pack_data.get("row_settings"))
    if has_old_rows:
        # First, since notes that are too many are only counted.
        notes.found.insert(0, f"{WHERE} in the JSON counts rows before the conversion; it is left out.")
    elif not rows:
        return source.document
    if not isinstance(pack_data, dict):
        words = f"pack_data is {shown(pack_data)}: an object {{ ... }} is expected."
        raise PackReadError(f"{source.pack_id}.json cannot hold the settings of rows: {words}")
    own = list(pairs_of(data))
    if "pack_data" not in data and "preset_data" not in data:
        pack_data = object_of([pair for pair in own if pair[0] in ROOT_PACK_KEYS])
        preset = object_of([pair for pair in own if pair[0] not in ROOT_PACK_KEYS])
        own = [("pack_data", pack_data), ("preset_data", preset)]
    kept = [pair for pair in pairs_of(pack_data) if pair[0] != "row_settings"]
    made = ("pack_data", object_of([*kept, *([("row_settings", rows)] if rows else [])]))
    places = [place for place, pair in enumerate(own) if pair[0] == "pack_data"]
    place = places[-1] if places else len(own)  # Of a doubled key the last one counts.
    own[place : place + 1] = [made]
    try:
        return dump_document(object_of(own), indent="") + "\n"
    except RecursionError:
        raise PackReadError(f"{source.pack_id}.json is nested too deeply.") from None
