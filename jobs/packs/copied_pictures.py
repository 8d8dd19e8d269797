"""Texts copied from pictures, as WebUIs and Civitai write them, taken apart into prompts and settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from jobs.packs.foreign_rows import ForeignRow, Notes, listed_names, take, tell_unknown
from jobs.packs.formats import NEGATIVE_RE, STEPS_RE, Line
from jobs.packs.grammar import trim
from jobs.packs.lint import FOREIGN_NEGATIVE_RE, SETTING_RE
from webui.work.infotext import fields_of_line

_FIELDS: Final[Mapping[str, str]] = {
    "steps": "txt2img.steps",
    "sampler": "txt2img.sampler_name",
    "schedule type": "txt2img.scheduler",
    "scheduler": "txt2img.scheduler",
    "cfg scale": "txt2img.cfg_scale",
    "seed": "txt2img.seed",
    "model": "txt2img.model",
    "vae": "txt2img.vae",
    "clip skip": "txt2img.clip_skip",
    "variation seed": "txt2img.subseed",
    "variation seed strength": "txt2img.subseed_strength",
    "hires upscale": "txt2img.hr_scale",
    "hires steps": "txt2img.hr_second_pass_steps",
    "hires upscaler": "txt2img.hr_upscaler",
    "hires sampler": "txt2img.hr_sampler_name",
    "hires schedule type": "txt2img.hr_scheduler",
    "denoising strength": "txt2img.denoising_strength",
}
"""What a picture says of itself and that is a setting here, in lower case."""

_SIZES: Final[Mapping[str, tuple[str, str]]] = {
    "size": ("txt2img.width", "txt2img.height"),
    "hires resize": ("txt2img.hr_resize_x", "txt2img.hr_resize_y"),
}
"""What is two settings."""

_NAMELESS: Final = frozenset(
    {"model hash", "vae hash", "version", "lora hashes", "ti hashes", "hashes", "created date"}
)
"""What says nothing that a request could ask for."""

_LEFT_OUT: Final = frozenset(
    {
        "batch pos",
        "batch size",
        "distilled cfg scale",
        "emphasis",
        "ensd",
        "eta",
        "eta ddim",
        "face restoration",
        "mask blur",
        "ngms",
        "noise multiplier",
        "rng",
        "seed resize from",
        "tiling",
        "token merging ratio",
    }
)
"""What is told and left out."""
_NAMES: Final = frozenset({*_FIELDS, *_SIZES, *_NAMELESS, *_LEFT_OUT})
_BEGINNINGS: Final = ("adetailer ", "civitai ", "controlnet ", "hires ", "refiner")
"""How a line of settings may begin: with one of `_NAMES`, or with a name that begins so."""

_SIZE: Final = re.compile(r"([0-9]{1,5})\s{0,4}+[x×*]\s{0,4}+([0-9]{1,5})", re.IGNORECASE)


@dataclass(slots=True)
class _Picture:
    """The lines of one picture's text, with their numbers."""

    words: list[Line] = field(default_factory=list)
    settings: list[Line] = field(default_factory=list)
    has_steps: bool = False


def copied_rows(lines: list[Line], notes: Notes) -> Iterator[ForeignRow]:
    """Texts of pictures, each up to its settings.

    Where every picture ends in its settings, a blank line is one within a prompt; elsewhere it ends a picture, unless
    the negative prompt or the settings follow.
    """
    of_settings = _settings_lines(lines)
    is_joining = _each_ends_in_settings(lines, of_settings)
    for picture in _pictures(lines, of_settings, notes, is_joining=is_joining):
        row = _of_picture(picture, notes)
        if not row.positive:
            notes.add(row.line, "it has no prompt; it is left out.")
            continue
        if of_settings and not picture.settings:
            notes.add(row.line, "no settings follow this prompt; those of the pack count.")
        yield row


def _settings_lines(lines: list[Line]) -> set[int]:
    """Numbers of the lines that hold settings: the one with the steps and those that go on with it.

    Steps that stand alone are of a list, one setting a line, which may begin above them.
    """
    found: set[int] = set()
    above: list[int] = []
    last = ""
    for number, line in lines:
        steps = STEPS_RE.match(line)
        if steps and steps.end() == len(line):
            found.update(above)
        begins = _begins_with_setting(line)
        if steps or (last and (begins or (last.endswith(",") and ":" in line))):
            found.add(number)
            last = line
        else:
            last = ""
        if begins and not last:
            above.append(number)
        else:
            above.clear()
    return found


def _begins_with_setting(line: str) -> bool:
    name, colon, _ = line.partition(":")
    name = name.strip().lower()
    return colon != "" and (name in _NAMES or name.startswith(_BEGINNINGS))


def _each_ends_in_settings(lines: list[Line], of_settings: set[int]) -> bool:
    """Whether nothing says that a picture ends without settings: a second negative prompt, or words at the end."""
    negatives, has_ended = 0, False
    for number, line in lines:
        if number in of_settings:
            negatives, has_ended = 0, True
        elif line:
            negatives += NEGATIVE_RE.match(line) is not None
            has_ended = False
        if negatives > 1:
            return False
    return has_ended


def _pictures(
    lines: list[Line], of_settings: set[int], notes: Notes, *, is_joining: bool
) -> Iterator[_Picture]:
    picture = _Picture()
    blank = 0
    for number, line in lines:
        if not line:
            blank = number
            continue
        is_setting, has_steps = number in of_settings, STEPS_RE.match(line) is not None
        goes_on = is_setting or NEGATIVE_RE.match(line) is not None
        if picture.settings:
            ends = not is_setting or blank > 0 or (has_steps and picture.has_steps)
        else:
            ends = bool(picture.words and blank and not goes_on)
            if ends and is_joining:
                ends = False
                notes.add(blank, "the words above and below this blank line are read as one prompt.")
        if ends:
            yield picture
            picture = _Picture()
        blank = 0
        (picture.settings if is_setting else picture.words).append((number, line))
        picture.has_steps |= is_setting and has_steps
    if picture.words or picture.settings:
        yield picture


def _of_picture(picture: _Picture, notes: Notes) -> ForeignRow:
    row = ForeignRow((picture.words or picture.settings)[0][0], "")
    positive: list[str] = []
    negative: list[str] = []
    target = positive
    for number, line in picture.words:
        words = line
        if begins := NEGATIVE_RE.match(line):
            if target is negative:
                notes.add(number, "the picture has a second negative prompt; both are taken.")
            target = negative
            words = trim(line[begins.end() :])
        target.append(words)
        _tell_words(number, words, notes)
    row.positive, row.negative = " ".join(positive), "\n".join(negative).strip()
    _read_settings(row, picture.settings, notes)
    return row


def _read_settings(row: ForeignRow, lines: list[Line], notes: Notes) -> None:
    names: set[str] = set()
    for _, line in lines:
        for name, value in fields_of_line(line):
            names.add(name.lower())
            _set_field(row, name, value, notes)
    tell_unknown(row, notes)
    if any(name.startswith("hires ") for name in names):
        row.settings["txt2img.enable_hr"] = True
        if not row.settings.keys() & {"txt2img.hr_scale", *_SIZES["hires resize"]}:
            notes.add(row.line, "no size of its hires fix can be read; that of the pack counts.")


def _set_field(row: ForeignRow, name: str, value: str, notes: Notes) -> None:
    """One thing that a picture says of itself."""
    key = name.lower()
    if key in _NAMELESS:
        return
    if key not in _SIZES:
        take(row, _FIELDS.get(key, ""), value, name, notes)
    elif size := _SIZE.fullmatch(value):
        for path, number in zip(_SIZES[key], size.groups(), strict=True):
            take(row, path, number, name, notes)
    else:
        notes.add(row.line, f"{name} is {value[:60]!r}: WIDTHxHEIGHT is expected; it is left out.")


def _tell_words(number: int, words: str, notes: Notes) -> None:
    """What of another program's spelling is left among the words of a prompt."""
    negative = FOREIGN_NEGATIVE_RE.search(words)
    left = [negative[0]] if negative else []
    left += [re.split("[:=]", found[0].strip(", "))[0].strip() + ":" for found in SETTING_RE.finditer(words)]
    if left:
        verb = "stays a word" if len(left) == 1 else "stay words"
        beginning = "“Negative prompt:”" if negative else "“Steps:”"
        listed = f"{listed_names([f'“{name[:60]}”' for name in left])} {verb} of the prompt"
        notes.add(number, f"{listed}; write it on a line that begins with {beginning} if it is none.")
