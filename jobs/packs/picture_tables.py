"""Lists of pictures as rows: `.csv` with a line of column names, and `.jsonl` with one object a line.

Columns and keys: `image` (one) or `images` (several), `prompt`, `negative_prompt`. Paths are relative to the list's
folder and stay in it, or are absolute.
"""

from __future__ import annotations

import csv
import io
import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jobs.errors import DocumentError, PackReadError
from jobs.packs.document import parse_document
from jobs.packs.findings import Report
from jobs.packs.names import shown_name
from jobs.packs.picture_rows import NamedPicture, WrittenRow, WrittenRows, one_line, refuse_many
from jobs.packs.sources import MAX_FILE_BYTES, decode
from webui.work.limits import MAX_PROMPT_CHARACTERS

SUFFIXES: Final = (".csv", ".jsonl")
COLUMNS: Final = ("image", "images", "prompt", "negative_prompt")
_DELIMITERS: Final = ",;\t"
_PROMPTS: Final = {"prompt": "prompt", "negative_prompt": "negative prompt"}
_MAX_HEADER_CHARS: Final = 10_000
_MAX_SHOWN_CHARS: Final = 200


def read_table(path: Path, report: Report) -> WrittenRows:
    """Raises PackReadError for a file that cannot be read, and for one without rows."""
    text = _text_of(path).removeprefix("\ufeff")
    is_csv = path.suffix.lower() == ".csv"
    lines = list(_csv_lines(text, shown_name(str(path))) if is_csv else _json_lines(text))
    refuse_many(len(lines), str(path))
    if not lines:
        raise PackReadError(f"{shown_name(str(path))} has no rows. Write one for each picture.")
    rows, unread = [], dict[str, None]()
    for number, (line, found) in enumerate(lines, start=1):
        where = f"line {line}: "
        if isinstance(found, str):
            report.refuse("bad_row", where + found, row=number)
            rows.append(WrittenRow(where=where, wrong=True))
            continue
        unread |= dict.fromkeys(key for key in found if key not in COLUMNS)
        rows.append(_Reader(path.parent, found, where, report, number, is_csv=is_csv).row())
    notes = (
        (f"Not read: {', '.join(map(shown_name, unread))}; columns are {', '.join(COLUMNS)}.",)
        if unread
        else ()
    )
    return WrittenRows(tuple(rows), notes)


def is_table(path: Path) -> bool:
    """Whether a file is a list by its suffix, and a CSV by its columns as well: there are others."""
    if path.suffix.lower() != ".csv":
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline(_MAX_HEADER_CHARS)
    except OSError:
        return False
    columns = re.split("[,;\t]", first)
    return any(column.strip(' "\r\n').lower() in ("image", "images") for column in columns)


def _text_of(path: Path) -> str:
    name = shown_name(str(path))
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PackReadError(f"{name} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB.")
        return decode(path.read_bytes(), name)
    except FileNotFoundError:
        raise PackReadError(f"{name} does not exist.") from None
    except OSError as error:
        raise PackReadError(f"{name} cannot be read: {error.strerror}.") from None


Line = tuple[int, Mapping[str, Any] | str]
"""The number of a row's first line, and its values by column, or why it has none."""


def _json_lines(text: str) -> Iterator[Line]:
    # Only line feeds part rows: JSON's own text may hold other ends of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, parse_document(line)
        except DocumentError as exc:
            yield number, f"it is not one JSON object ({str(exc).removeprefix('line 1, ')})."


def _csv_lines(text: str, name: str) -> Iterator[Line]:
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    columns: list[str] = []
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = [cell.strip().lower() for cell in cells]
                _refuse_columns(columns, name)
                continue
            yield line, _by_column(cells, columns, delimiter)
    except csv.Error as error:
        raise PackReadError(f"{name} cannot be read as CSV: line {reader.line_num}: {error}.") from None


def _refuse_columns(columns: Sequence[str], name: str) -> None:
    if not {"image", "images"} & set(columns):
        raise PackReadError(
            f"The first line of {name} names no column `image`. Write the names of the columns there: "
            "image,prompt,negative_prompt (images for several pictures a row)."
        )
    if twice := sorted({column for column in columns if columns.count(column) > 1 and column}):
        raise PackReadError(f"{name} has the column {shown_name(twice[0])} twice. Remove one of them.")


def _by_column(cells: Sequence[str], columns: Sequence[str], delimiter: str) -> Mapping[str, str] | str:
    if any(cell.strip() for cell in cells[len(columns) :]):
        sign = {",": "comma", ";": "semicolon", "\t": "tab"}[delimiter]
        return (
            f"it has {len(cells)} values, and there are {len(columns)} columns. "
            f'Put text that holds a {sign} in double quotes: "a cat, asleep".'
        )
    return {column: cell for column, cell in zip(columns, cells, strict=False) if column}


class _Reader:
    """Reads one row; what is wrong goes to the report."""

    def __init__(
        self,
        folder: Path,
        values: Mapping[str, Any],
        where: str,
        report: Report,
        number: int,
        *,
        is_csv: bool,
    ) -> None:
        self.folder, self.values, self.where, self.is_csv = folder, values, where, is_csv
        self.report, self.number = report, number
        self.wrong = False

    def row(self) -> WrittenRow:
        names = self._names()
        pictures = tuple(found for found in map(self._picture, names) if found is not None)
        prompt, negative = (self._words(column) for column in _PROMPTS)
        return WrittenRow(pictures, prompt, negative, self.where, self.wrong)

    def _refuse(self, code: str, words: str, field: str) -> None:
        self.report.refuse(code, self.where + words, field, row=self.number)
        self.wrong = True

    def _names(self) -> list[str]:
        one, several = self.values.get("image"), self.values.get("images")
        if one and several:
            self._refuse("two_columns", "it has image and images; use one of them.", "images")
            return []
        names = self._split(several) if several else [one]
        if not names or not all(isinstance(name, str) for name in names if name is not None):
            self._refuse("wrong_value", "image is a path, and images a list of paths.", "images")
            return []
        found = [name.strip() for name in names if isinstance(name, str) and name.strip()]
        if not found:
            self._refuse("missing_picture", "it names no picture; write its path in image.", "image")
        return found

    def _split(self, several: Any) -> list[Any]:
        """Several pictures of one cell are parted by `|` or `;`; JSON has a list."""
        if isinstance(several, str):
            return several.replace(";", "|").split("|") if self.is_csv else [several]
        return several if isinstance(several, list) else []

    def _picture(self, written: str) -> NamedPicture | None:
        name = shown_name(written if len(written) <= _MAX_SHOWN_CHARS else f"{written[:_MAX_SHOWN_CHARS]}…")
        if "://" in written:
            self._refuse("no_file", f"{name} is an address; give the path of a file.", "image")
            return None
        path = self._path(written)
        if path is None:
            words = (
                f"{name} leads out of the list's folder; write its whole path, or move it into the folder."
            )
            self._refuse("outside", words, "image")
            return None
        return NamedPicture(name, path)

    def _path(self, written: str) -> Path | None:
        """None for a relative path that leads out of the list's folder. Windows writes paths with backslashes."""
        for spelt in dict.fromkeys((written, written.replace("\\", "/"))):
            if os.path.isabs(spelt):
                path = Path(spelt)
            elif os.path.normpath(spelt).split("/")[0] == "..":
                return None
            else:
                path = self.folder / spelt
            if os.path.exists(path):
                break
        return path

    def _words(self, column: str) -> str:
        value = self.values.get(column)
        if value is not None and not isinstance(value, str):
            self._refuse("wrong_value", f"{column} is text.", column)
            return ""
        text = one_line(value or "")
        if len(text) > MAX_PROMPT_CHARACTERS:
            words = (
                f"the {_PROMPTS[column]} has {len(text):,} characters; at most {MAX_PROMPT_CHARACTERS} are taken. "
                "Shorten it."
            )
            self._refuse("long_prompt", words, column)
        return text
