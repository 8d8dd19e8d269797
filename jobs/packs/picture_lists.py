"""A folder or list of pictures as a pack of films or edits: every picture is opened once, none is kept in memory. Pure.

What is stored of it, and when, is for `jobs.submitting.picture_packs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.errors import InputRefusedError, PackReadError, RecordProblem
from jobs.inputs.facts import InputFacts, read_input, refuse_size
from jobs.packs.findings import Bounded, Report
from jobs.packs.json_lines import line_of, text_of
from jobs.packs.names import pack_name, shown_name
from jobs.packs.picture_folders import holds_pictures, holds_pictures_alone, read_folder, read_single
from jobs.packs.picture_rows import OTHER_SUFFIXES, PICTURE_SUFFIXES, NamedPicture, WrittenRow, one_line
from jobs.packs.picture_tables import SUFFIXES, is_table, read_table
from jobs.packs.rows import RowImage
from jobs.packs.sources import PackSource, read_document_beside
from webui.work.limits import MAX_PROMPT_CHARACTERS

MAX_TOLD: Final = 100
"""Problems of one list that are told one by one; the rest is counted."""

Watch = Callable[[Sequence[WrittenRow]], Iterable[WrittenRow]]
"""Hands rows on, and may show how far it is."""


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """A picture as it was read: its bytes are read again from `path` when they are stored, and held to `facts`."""

    path: Path
    name: str
    facts: InputFacts


@dataclass(frozen=True, slots=True)
class PictureList:
    """The pack that a folder or list makes, and its pictures, each content once.

    `problems` say what is wrong with some of its rows (`bad_rows`, counted from 1), which must not be built then.
    """

    source: PackSource
    pictures: tuple[ListedPicture, ...]
    notes: tuple[str, ...]
    problems: tuple[RecordProblem, ...]
    bad_rows: frozenset[int]


def looks_like_pictures(path: Path) -> bool:
    """Whether a path is one of a folder of pictures, a list of them, or a picture: what `read_picture_list` takes."""
    if path.is_dir():
        return holds_pictures(path)
    return path.suffix.lower() in {*SUFFIXES, *PICTURE_SUFFIXES, *OTHER_SUFFIXES} and path.is_file()


def pictures_instead(path: Path) -> str:
    """That a path is one of pictures, where a pack of prompts is expected, and what to do; "" for any other.

    A folder counts where each of its texts is the caption of a picture.
    """
    if path.is_dir():
        what = "a folder of pictures" if holds_pictures_alone(path) else ""
    elif not path.is_file():
        what = ""
    elif path.suffix.lower() in PICTURE_SUFFIXES:
        what = "a picture"
    else:
        what = "a list of pictures" if is_table(path) else ""
    if not what:
        return ""
    name = shown_name(str(path))
    return (
        f"{name} is no pack of prompts but {what}. Say what to make of it: `submit_pack {name} --kind i2v` makes "
        "films, `--kind edit` makes edits."
    )


def read_picture_list(
    path: Path,
    kind: str,
    *,
    name: str = "",
    prompt: str = "",
    negative_prompt: str = "",
    watch: Watch = iter,
) -> PictureList:
    """Read rows and open each picture once. `prompt` and `negative_prompt` are for rows without their own.

    The pack is called `name`, or as the folder or list.

    Raises PackReadError for what cannot be read at all; what is wrong with rows stands in `problems`.
    """
    own = (path.resolve() if path.is_dir() else path.with_suffix("")).name
    name = pack_name(name.strip() or own, name or str(path))
    report = Report(name, problems=Bounded(MAX_TOLD))
    reading = _Reading(report, one_line(prompt), one_line(negative_prompt))
    listed = path.suffix.lower() in SUFFIXES
    if path.is_dir():
        written = read_folder(path, report)
    elif listed:
        written = read_table(path, report)
    else:
        written = read_single(path, report)
    for number, row in enumerate(watch(written.rows), start=1):
        reading.take(row, number)
    reading.finish()
    source = PackSource(
        pack_id=name,
        text=text_of(reading.lines),
        document=read_document_beside(path) if listed else "",
        kind=kind,
    )
    return PictureList(
        source,
        tuple(reading.pictures.values()),
        written.notes,
        (*sorted(report.problems, key=_first_row), *_rest(report)),
        frozenset(reading.bad_rows),
    )


def _first_row(problem: RecordProblem) -> int:
    return problem.row or min(problem.rows, default=0)


def _rest(report: Report) -> list[RecordProblem]:
    left = report.problems.left_out
    if not left:
        return []
    words = f"Pack {report.pack}: {left:,} more {'problem' if left == 1 else 'problems'} like these."
    return [RecordProblem(code="more_problems", message=words, pack=report.pack)]


class _Reading:
    """The rows read so far. A file that several rows name is opened once."""

    def __init__(self, report: Report, prompt: str, negative_prompt: str) -> None:
        self.report, self.prompt, self.negative_prompt = report, prompt, negative_prompt
        self.lines: list[str] = []
        self.pictures: dict[str, ListedPicture] = {}
        self.bad_rows: set[int] = set()
        self._opened: dict[Path, InputFacts | str] = {}
        self._without_prompt: list[int] = []
        self._given_prompts = (
            (prompt, "--prompt", "prompt"),
            (negative_prompt, "--negative-prompt", "negative_prompt"),
        )

    def take(self, row: WrittenRow, number: int) -> None:
        images = tuple(found for found in (self._open(one, row, number) for one in row.pictures) if found)
        if row.wrong:
            self.bad_rows.add(number)
        if not row.prompt and not self.prompt and not row.wrong:
            self._without_prompt.append(number)
        self.lines.append(
            line_of(images, row.prompt or self.prompt, row.negative_prompt or self.negative_prompt)
        )

    def finish(self) -> None:
        """What is wrong with all rows alike is told once."""
        if self._without_prompt:
            words = (
                "no prompt. Write one beside each picture (cat.txt for cat.png) or in the list's column prompt, or "
                "give one for all with --prompt."
            )
            self.report.refuse_rows("missing_prompt", words, "prompt", tuple(self._without_prompt))
            self.bad_rows.update(self._without_prompt)
        for text, option, field in self._given_prompts:
            if len(text) > MAX_PROMPT_CHARACTERS:
                words = f"{option} has {len(text):,} characters; at most {MAX_PROMPT_CHARACTERS} are taken. Shorten it."
                self.report.refuse("long_prompt", words, field)
                self.bad_rows.update(range(1, len(self.lines) + 1))

    def _open(self, one: NamedPicture, row: WrittenRow, number: int) -> RowImage | None:
        found = self._opened.get(one.path)
        if found is None:
            found = self._opened[one.path] = self._read(one)
        if isinstance(found, str):
            self.report.refuse("picture", f"{row.where}{found}", "image", row=number)
            self.bad_rows.add(number)
            return None
        self.pictures.setdefault(found.sha256, ListedPicture(one.path, one.path.name, found))
        return RowImage(found.sha256, _plain_name(one.path), found.width_px, found.height_px)

    def _read(self, one: NamedPicture) -> InputFacts | str:
        """Its facts, or the sentence that refuses it."""
        try:
            _plain_name(one.path)
            refuse_size(one.path.stat().st_size, one.name)
            return read_input(one.path.read_bytes(), one.name)
        except (InputRefusedError, PackReadError) as exc:
            return str(exc)
        except FileNotFoundError:
            return f"{one.name} does not exist."
        except IsADirectoryError:
            return f"{one.name} is a folder. Name a picture."
        except (OSError, ValueError) as exc:
            return f"{one.name} cannot be read: {getattr(exc, 'strerror', None) or exc}."


def _plain_name(path: Path) -> str:
    """The name of its file, in one spelling on every system. Raises PackReadError for one that is no text."""
    return pack_name(path.name, shown_name(path.name))
