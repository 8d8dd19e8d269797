"""Rows of pictures as folders and lists write them, before any picture is opened: where each lies, and its words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.errors import PackReadError
from jobs.packs.grammar import MAX_ROWS
from jobs.packs.names import shown_name

PICTURE_SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif"))
OTHER_SUFFIXES: Final = frozenset((".gif", ".heic", ".heif", ".bmp", ".tif", ".tiff", ".svg", ".jxl", ".psd"))
"""Of pictures that are not read."""
MAX_SHOWN: Final = 5
"""Names that one note lists."""


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """`name` as people are shown it."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """`where` comes before every word about the row, like `line 4: `; empty for a picture of a folder.

    A row with `wrong` was refused already.
    """

    pictures: tuple[NamedPicture, ...] = ()
    prompt: str = ""
    negative_prompt: str = ""
    where: str = ""
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """`notes` say what was left out."""

    rows: tuple[WrittenRow, ...]
    notes: tuple[str, ...] = ()


def one_line(text: str) -> str:
    """A prompt as it is sent: without the white space around it and its lines, which are joined by a space."""
    return " ".join(line for line in map(str.strip, text.removeprefix("\ufeff").splitlines()) if line)


def natural_key(name: str) -> tuple[tuple[int | str, ...], str]:
    """Sorts `img2` before `img10`, whatever the case of letters."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


def refuse_many(count: int, name: str) -> None:
    """Raises PackReadError for more rows than a pack has: nobody should read so many pictures in vain."""
    if count > MAX_ROWS:
        raise PackReadError(
            f"{shown_name(name)} has {count:,} rows; a pack has at most {MAX_ROWS:,}. Split it into several."
        )


def names_of(paths: list[Path]) -> str:
    """The first of these files by name, and how many more there are."""
    shown = ", ".join(shown_name(path.name) for path in paths[:MAX_SHOWN])
    more = len(paths) - MAX_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
