"""Prompts as other programs write them, made into a pack: rows in our text, their settings in its JSON."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jobs.errors import DocumentError, PackReadError, UnreadableError
from jobs.packs.document import ROOT_PACK_KEYS, SECTIONS
from jobs.packs.formats import NEG_RE, NEGATIVE_RE, OPTION_RE, STEPS_RE, Format
from jobs.packs.grammar import MAX_LINE_CHARS, lines_of, trim
from jobs.packs.json_text import parse_document
from jobs.packs.options import JsonScalar
from jobs.packs.sources import PackSource
from jobs.packs.values import read_leniently
from webui.work.infotext import parse_infotext

MAX_NOTES: Final = 50
"""Sentences about one conversion; more are counted."""

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

_FIELDS: Final[Mapping[str, str]] = {
    "Steps": "txt2img.steps",
    "Sampler": "txt2img.sampler_name",
    "Schedule type": "txt2img.scheduler",
    "CFG scale": "txt2img.cfg_scale",
    "Seed": "txt2img.seed",
    "Model": "txt2img.model",
    "VAE": "txt2img.vae",
    "Clip skip": "txt2img.clip_skip",
    "Variation seed": "txt2img.subseed",
    "Variation seed strength": "txt2img.subseed_strength",
    "Hires upscale": "txt2img.hr_scale",
    "Hires steps": "txt2img.hr_second_pass_steps",
    "Hires upscaler": "txt2img.hr_upscaler",
    "Denoising strength": "txt2img.denoising_strength",
}
"""What a picture says of itself and that is a setting here."""

_NAMELESS: Final = frozenset(
    {"Model hash", "VAE hash", "Version", "Size", "Lora hashes", "TI hashes", "Created Date"}
)
"""What says nothing that a request could ask for, beside the size, which is two settings."""

_SIZE: Final = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_TWICE: Final = re.compile(r"\[\[|\]\]")


@dataclass(frozen=True, slots=True)
class Converted:
    """The pack, and what of the file is not in it, a sentence each."""

    source: PackSource
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Row:
    line: int
    positive: str
    negative: str = ""
    settings: dict[str, JsonScalar] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Notes:
    found: list[str] = field(default_factory=list)

    def add(self, line: int, words: str) -> None:
        self.found.append(f"line {line}: {words}")

    def listed(self) -> tuple[str, ...]:
        more = len(self.found) - MAX_NOTES
        rest = (f"and {more:,} more",) if more > 0 else ()
        return (*self.found[:MAX_NOTES], *rest)


def convert(source: PackSource, to: Format) -> Converted:
    """The pack that a file of that format means. Raises PackReadError where no prompt is in it.

    Settings of a line become settings of its row, over those of the JSON beside the text. `[[word]]` is A1111's way
    to weaken a word in every format but `lines`, and stays that.
    """
    notes = _Notes()
    lines = list(enumerate(lines_of(source.text.lstrip("\ufeff")), 1))
    long = next((number for number, line in lines if len(line) > MAX_LINE_CHARS), None)
    if long is not None:
        raise PackReadError(
            f"{source.pack_id}: line {long} has more than {MAX_LINE_CHARS:,} characters; split it."
        )
    is_copied = any(STEPS_RE.match(trim(line)) or NEGATIVE_RE.match(trim(line)) for _, line in lines)
    if to == "civitai" or (to == "a1111" and is_copied):
        rows = list(_copied(lines, notes))
    else:
        rows = list(_one_a_line(lines, to, notes))
    rows = [row for row in rows if row.positive]
    if not rows:
        raise PackReadError(f"{source.pack_id} holds no prompt in the format {to}.")
    text = "\n\n".join(_block(row, to, notes) for row in rows) + "\n"
    document = _document(source, [row.settings for row in rows])
    return Converted(PackSource(source.pack_id, text, document), notes.listed())


def _one_a_line(lines: list[tuple[int, str]], to: Format, notes: _Notes) -> Iterator[_Row]:
    last: _Row | None = None
    for number, raw in lines:
        line = trim(raw)
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
            else _Row(number, line)
        )
    if last is not None:
        yield last


def _of_options(number: int, line: str, notes: _Notes) -> _Row:
    """`--prompt "a pier" --steps 20`, split as a shell would."""
    row = _Row(number, "")
    try:
        words = shlex.split(line)
    except ValueError:
        notes.add(number, "a quotation mark is not closed; the line is read as a prompt.")
        return _Row(number, line)
    for option, values in _options(words):
        name, _, first = option.removeprefix("--").partition("=")
        name = name.lower()
        value = " ".join([first, *values]).strip()
        if name == "prompt":
            row.positive = value.strip()
        elif name == "negative_prompt":
            row.negative = value.strip()
        else:
            _set(row, _OPTIONS.get(name, ""), value, f"--{name}", notes)
    _tell_unknown(row, notes)
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


def _copied(lines: list[tuple[int, str]], notes: _Notes) -> Iterator[_Row]:
    """Texts of pictures, each up to its line of settings; without such a line a blank line ends it."""
    chunk: list[str] = []
    first = 0
    for number, raw in lines:
        line = trim(raw)
        if not line and chunk and not _settings_follow(lines, number):
            yield _of_chunk(first, chunk, notes)
            chunk = []
        if line:
            first = first if chunk else number
            chunk.append(line)
        if STEPS_RE.match(line):
            yield _of_chunk(first, chunk, notes)
            chunk = []
    if chunk:
        yield _of_chunk(first, chunk, notes)


def _settings_follow(lines: list[tuple[int, str]], number: int) -> bool:
    """Whether the next words after this blank line go on with the same picture."""
    following = next((trim(line) for _, line in lines[number : number + 3] if trim(line)), "")
    return STEPS_RE.match(following) is not None or NEGATIVE_RE.match(following) is not None


def _of_chunk(number: int, chunk: list[str], notes: _Notes) -> _Row:
    told = parse_infotext("\n".join(chunk))
    row = _Row(number, " ".join(told.prompt.split("\n")), told.negative_prompt)
    for name, value in told.fields.items():
        if name not in _NAMELESS:
            _set(row, _FIELDS.get(name, ""), value, name, notes)
    _tell_unknown(row, notes)
    size = _SIZE.fullmatch(told.fields.get("Size", ""))
    if size:
        row.settings |= {"txt2img.width": int(size[1]), "txt2img.height": int(size[2])}
    if "Hires upscale" in told.fields or "Hires upscaler" in told.fields:
        row.settings["txt2img.enable_hr"] = True
    return row


def _set(row: _Row, path: str, value: str, name: str, notes: _Notes) -> None:
    section, _, key = path.partition(".")
    if not path:
        row.unknown.append(name[:60])
        return
    try:
        row.settings[path] = read_leniently(SECTIONS[section], key, value)[0]
    except UnreadableError as error:
        notes.add(row.line, f"{name} is {value[:60]!r}: {error}; it is left out.")


def _tell_unknown(row: _Row, notes: _Notes) -> None:
    if row.unknown:
        more = f" and {len(row.unknown) - 8:,} more" if len(row.unknown) > 8 else ""
        verb = "is no setting" if len(row.unknown) == 1 else "are no settings"
        listed = ", ".join(row.unknown[:8])
        notes.add(row.line, f"{listed}{more} {verb} of a row here; left out.")


def _block(row: _Row, to: Format, notes: _Notes) -> str:
    lines = [_safe(row, row.positive, to, notes)]
    lines += [f"neg: {_safe(row, words, to, notes)}" for words in row.negative.split("\n") if words.strip()]
    return "\n".join(lines)


def _safe(row: _Row, words: str, to: Format, notes: _Notes) -> str:
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


def _document(source: PackSource, settings: list[dict[str, JsonScalar]]) -> str:
    """The JSON beside the text, with the settings of rows; as it is where there are none."""
    rows: dict[str, Any] = {str(number): own for number, own in enumerate(settings, 1) if own}
    if not rows:
        return source.document
    try:
        data = parse_document(source.document)
    except DocumentError as error:
        raise PackReadError(f"{source.pack_id}.json is not valid JSON: {error}.") from None
    own: dict[str, Any] = dict(data)
    if "pack_data" not in data and "preset_data" not in data:
        pack_keys = {key: own.pop(key) for key in ROOT_PACK_KEYS if key in own}
        own = {"pack_data": pack_keys, "preset_data": own}
    pack_data = own.get("pack_data")
    own["pack_data"] = {**(pack_data if isinstance(pack_data, dict) else {}), "row_settings": rows}
    return json.dumps(own, ensure_ascii=False, indent=1) + "\n"
