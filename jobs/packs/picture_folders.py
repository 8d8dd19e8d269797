"""A folder of pictures as rows: one per picture in natural order, with the caption beside it (`cat.txt` of `cat.png`).

Sub-folders, hidden files and all other files are left out; what looks meant is noted.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from jobs.errors import PackReadError
from jobs.packs.findings import Report
from jobs.packs.names import one_spelling, shown_name
from jobs.packs.picture_rows import (
    OTHER_SUFFIXES,
    PICTURE_SUFFIXES,
    NamedPicture,
    WrittenRow,
    WrittenRows,
    names_of,
    natural_key,
    one_line,
    refuse_many,
)
from jobs.packs.sources import decode
from webui.work.limits import MAX_PROMPT_CHARACTERS

CAPTION_SUFFIX: Final = ".txt"
MAX_CAPTION_BYTES: Final = 64 * 1024
"""Of a caption's file; more is no caption."""


def read_folder(folder: Path, report: Report) -> WrittenRows:
    """Raises PackReadError for a folder that cannot be read or holds no pictures."""
    files = _files(folder)
    refuse_many(len(files.pictures), str(folder))
    if not files.pictures:
        raise PackReadError(
            f"{shown_name(str(folder))} holds no pictures (PNG, JPEG, WebP or AVIF).{files.hint}"
        )
    captions = {one_spelling(path.stem): path for path in files.captions}
    rows = tuple(_row(path, captions, report, number) for number, path in enumerate(files.pictures, start=1))
    return WrittenRows(rows, files.notes())


def read_single(picture: Path, report: Report) -> WrittenRows:
    """One picture as a folder of its own."""
    caption = picture.with_suffix(CAPTION_SUFFIX)
    captions = {one_spelling(caption.stem): caption} if os.path.isfile(caption) else {}
    return WrittenRows((_row(picture, captions, report, 1),))


def holds_pictures(folder: Path) -> bool:
    """Whether a folder is one of pictures; False where it cannot be read."""
    try:
        return bool(_files(folder).pictures)
    except PackReadError:
        return False


def holds_pictures_alone(folder: Path) -> bool:
    """Whether a folder has pictures, and no text but their captions."""
    try:
        files = _files(folder)
    except PackReadError:
        return False
    return bool(files.pictures) and not files.orphans


class _Files:
    """What lies in a folder, each kind in natural order."""

    def __init__(self) -> None:
        self.pictures: list[Path] = []
        self.captions: list[Path] = []
        self.others: list[Path] = []
        self.folders: list[Path] = []

    def add(self, path: Path) -> None:
        suffix = path.suffix.lower()
        if path.name.startswith("."):
            return
        if os.path.isdir(path):  # False where the folder may not be entered, too
            self.folders.append(path)
        elif suffix in PICTURE_SUFFIXES:
            self.pictures.append(path)
        elif suffix == CAPTION_SUFFIX:
            self.captions.append(path)
        elif suffix in OTHER_SUFFIXES:
            self.others.append(path)

    @property
    def hint(self) -> str:
        if self.others:
            return f" Save {names_of(self.others)} as PNG or JPEG."
        if self.folders:
            return f" Its folders are not read; give one of them: {names_of(self.folders)}."
        if self.captions:
            return " To submit its .txt files as packs of prompts, leave --kind out."
        return ""

    @property
    def orphans(self) -> list[Path]:
        """Captions without a picture."""
        stems = {one_spelling(path.stem) for path in self.pictures}
        return [path for path in self.captions if one_spelling(path.stem) not in stems]

    def notes(self) -> tuple[str, ...]:
        found = []
        if orphans := self.orphans:
            found.append(
                f"No picture has the name of these captions, so they are not used: {names_of(orphans)}."
            )
        if self.others:
            found.append(f"Only PNG, JPEG, WebP and AVIF are read; left out: {names_of(self.others)}.")
        if self.folders:
            found.append(f"Folders in it are not read: {names_of(self.folders)}.")
        return tuple(found)


def _files(folder: Path) -> _Files:
    found = _Files()
    try:
        for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
            found.add(path)
    except OSError as error:
        raise PackReadError(f"{shown_name(str(folder))} cannot be read: {error.strerror}.") from None
    return found


def _row(path: Path, captions: Mapping[str, Path], report: Report, number: int) -> WrittenRow:
    row = WrittenRow(pictures=(NamedPicture(shown_name(path.name), path),))
    caption = captions.get(one_spelling(path.stem))
    if caption is None:
        return row
    try:
        text = _read_caption(caption)
    except PackReadError as exc:
        report.refuse("caption", str(exc), "prompt", row=number)
        return replace(row, wrong=True)
    return replace(row, prompt=text)


def _read_caption(path: Path) -> str:
    """The words of a caption. Raises PackReadError."""
    name = shown_name(path.name)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CAPTION_BYTES + 1)
    except OSError as error:
        raise PackReadError(f"the caption {name} cannot be read: {error.strerror}.") from None
    if len(data) > MAX_CAPTION_BYTES:
        raise PackReadError(
            f"the caption {name} has more than {MAX_CAPTION_BYTES // 1024} KiB; a prompt has at most "
            f"{MAX_PROMPT_CHARACTERS} characters. Shorten it."
        )
    text = one_line(decode(data, f"the caption {name}"))
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise PackReadError(
            f"the caption {name} has {len(text):,} characters; a prompt has at most {MAX_PROMPT_CHARACTERS}. "
            "Shorten it."
        )
    return text
