"""What looks wrong in a pack's text although it can be read: warnings only, nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from jobs.packs.findings import PackWarning
from jobs.packs.tags import bare_names, odd_embeddings

_CONFLICT: Final = re.compile(r"<{7}(?: |$)|={7}$|>{7}(?: |$)|\|{7}(?: |$)")
SETTING_RE: Final = re.compile(
    r"(?:^(?:neg\s*+:)?|,)\s*+(?:steps|sampler(?:[ _]name)?|scheduler|schedule type|cfg(?:[ _]scale)?|seed"
    r"|subseed|size|width|height|model(?:[ _](?:name|hash))?|checkpoint|vae|clip[ _]skip"
    r"|denois(?:e|ing)(?:[ _]strength)?|mask[ _]\w+|detection[ _]confidence|upscaler|hires \w+)\s*[:=]\s*\S",
    re.IGNORECASE,
)
"""A setting and its value, at the beginning of a line of words or behind a comma."""
FOREIGN_NEGATIVE_RE: Final = re.compile(r"negative(?:[ _]prompt)?\s*:", re.IGNORECASE)
"""How other programs begin a negative prompt."""
_CONTROL: Final = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HALF_TOKEN: Final = re.compile(r"\[\[|\]\]")
_NAMES_SHOWN: Final = 5


class Row(Protocol):
    """What the row rules look at."""

    @property
    def index(self) -> int: ...
    @property
    def first_line(self) -> int: ...
    @property
    def content(self) -> tuple[object, ...]: ...


def lint_block(block: Sequence[tuple[int, str]]) -> list[PackWarning]:
    """Rules about the lines of one block; `block` holds line numbers and trimmed words."""
    found: list[PackWarning] = []
    for number, line in block:
        if _CONFLICT.match(line):
            words = "this looks like a conflict marker of a version control system; it is read as words."
            found.append(PackWarning(code="conflict_marker", message=words, line=number))
        if FOREIGN_NEGATIVE_RE.match(line):
            words = "this looks like a negative prompt, but only neg: begins one."
            found.append(PackWarning(code="foreign_negative", message=words, line=number))
        if _CONTROL.search(line):
            words = "this line holds a control character."
            found.append(PackWarning(code="control_character", message=words, line=number))
        found += [PackWarning(code="bare_tag", message=words, line=number) for words in bare_tag_words(line)]
    settings = [number for number, line in block for _ in SETTING_RE.finditer(line)]
    if len(settings) > 1:
        words = "settings are written as a prompt; they are sent as words. Put settings in the pack's JSON."
        found.append(PackWarning(code="settings_as_prompt", message=words, line=settings[0]))
    return found


def lint_rows(rows: Iterable[Row]) -> list[PackWarning]:
    """Rules about rows among each other."""
    found: list[PackWarning] = []
    first: dict[tuple[object, ...], Row] = {}
    for row in rows:
        same = first.setdefault(row.content, row)
        if same is not row:
            where = f" (line {same.first_line})" if same.first_line else ""
            words = f"row {row.index + 1} repeats row {same.index + 1}{where}."
            line = row.first_line or None
            found.append(PackWarning(code="duplicate_block", message=words, line=line, row=row.index + 1))
    return found


def bare_tag_words(text: str) -> tuple[str, ...]:
    """What happens to names in angle brackets that are no plain tag: at most four sentences."""
    old, plain = bare_names(text)
    weighed, unreadable = odd_embeddings(text)
    words = {
        "the weight inside the tag is taken.": weighed,
        "sent as written, and a WebUI drops it; write <embedding:NAME> or (<embedding:NAME>:0.9).": unreadable,
        "the old form of an embedding tag; the name alone is sent.": [f"<{name}>" for name in old],
        f"sent as written; write <embedding:{plain[0] if plain else ''}> for an embedding.": [
            f"<{name}>" for name in plain
        ],
    }
    return tuple(f"{_listed(tags)}: {what}" for what, tags in words.items() if tags)


def _listed(tags: Sequence[str]) -> str:
    shown = ", ".join(tags[:_NAMES_SHOWN])
    return f"{shown} and {len(tags) - _NAMES_SHOWN:,} more" if len(tags) > _NAMES_SHOWN else shown


def half_tokens(text_without_tokens: str) -> bool:
    """True if brackets that look like a broken `[[token]]` are left when all tokens are taken away."""
    return _HALF_TOKEN.search(text_without_tokens) is not None
