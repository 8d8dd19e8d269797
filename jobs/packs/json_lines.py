"""The text of a film or edit pack: JSON Lines, each line a row with its pictures and its words.

`{"images": [SHA-256, ...], "names": [...], "sizes": [[width, height], ...], "prompt": "...", "negative_prompt": "..."}`
Pictures are named by their bytes, so that equal content is one revision. Their sizes stand with them: a stored revision
is built again without its files. How a folder or a list becomes such a text is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from jobs.errors import DocumentError
from jobs.packs.findings import MAX_WARNINGS, Bounded, PackWarning, Report, told
from jobs.packs.grammar import MAX_ROWS, ParsedText, lines_of, too_many_rows, trim
from jobs.packs.json_text import parse_document, unclean_path
from jobs.packs.lint import lint_block, lint_rows
from jobs.packs.rows import PackRow, RowImage
from jobs.packs.values import shown
from jobs.records.film_checks import SHA256_RE, count_problems
from webui.work.limits import MAX_INPUT_PIXELS

MAX_LINE_CHARS: Final = 100_000
"""A longer line is refused and not read: four pictures and two prompts have a hundredth of it."""
_KNOWN: Final = ("images", "names", "sizes", "prompt", "negative_prompt")


def line_of(images: Sequence[RowImage], prompt: str, negative_prompt: str = "") -> str:
    """The one line of a row: equal rows have equal bytes."""
    return json.dumps(
        {
            "images": [image.sha256 for image in images],
            "names": [image.name for image in images],
            "sizes": [[image.width_px, image.height_px] for image in images],
            "prompt": prompt,
            "negative_prompt": negative_prompt,
        },
        ensure_ascii=False,
    )


def text_of(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def parse_lines(text: str, kind: str, pack: str = "") -> ParsedText:
    """Read any text; nothing raises. What is wrong with a row is told by its number and field, and it stays a row."""
    report = Report(pack)
    warnings: Bounded[PackWarning] = Bounded(MAX_WARNINGS)
    rows: list[PackRow] = []
    more_rows = False
    for number, line in enumerate(lines_of(text.lstrip("\ufeff")), 1):
        if not trim(line):
            continue
        if len(rows) == MAX_ROWS:
            warnings.keep([too_many_rows(number)])
            more_rows = True
            break
        row = _Line(len(rows), number, kind, report).read(line)
        rows.append(row)
        words = [(number, one) for one in (*row.positive_lines, *row.negative_lines)]
        warnings += lint_block(words) if words else []
    warnings += lint_rows(rows)
    found = (*told(report.warnings), *sorted(told(warnings), key=lambda warning: warning.line or 0))
    return ParsedText(tuple(rows), found, tuple(report.problems), more_rows)


class _Line:
    """One line while it is read."""

    def __init__(self, index: int, number: int, kind: str, report: Report) -> None:
        self._index = index
        self._number = number
        self._kind = kind
        self._report = report

    def read(self, line: str) -> PackRow:
        data = self._object(line)
        if data is None:
            return self._row()
        for key in data:
            if key not in _KNOWN:
                words = f"row {self._index + 1}: {shown(key)} is not known; it is ignored."
                warning = PackWarning(
                    code="unknown_key", message=words, line=self._number, row=self._index + 1, field=key
                )
                self._report.warnings.append(warning)
        images = tuple(self._images(data))
        for code, field, words in count_problems(self._kind, len(images)):
            self._refuse(code, words, field)
        return self._row(images, self._words("prompt", data), " ".join(self._words("negative_prompt", data)))

    def _row(
        self, images: tuple[RowImage, ...] = (), positive: tuple[str, ...] = (), negative: str = ""
    ) -> PackRow:
        refused = (negative,) if negative else ()
        return PackRow(self._index, self._number, self._number, positive, refused, images=images)

    def _object(self, line: str) -> dict[str, Any] | None:
        """None for a line that is no JSON object, which is then told."""
        if len(line) > MAX_LINE_CHARS:
            words = (
                f"line {self._number} has {len(line):,} characters, more than {MAX_LINE_CHARS:,}; split it."
            )
            self._refuse("long_line", words, "line")
            return None
        try:
            data = parse_document(line)
        except DocumentError as error:
            where = str(error).removeprefix("line 1, ")
            words = f'line {self._number} is no JSON object {{"images": [...], "prompt": "..."}}: {where}.'
            self._refuse("malformed_row", words, "line")
            return None
        if unclean := unclean_path(data):
            words = f"line {self._number}: its {unclean} holds a character that no request can carry."
            self._refuse("unclean_text", words, unclean)
            return None
        return data

    def _images(self, data: dict[str, Any]) -> Iterator[RowImage]:
        hashes = self._list("images", data)
        names, sizes = self._list("names", data), self._list("sizes", data)
        for place, sha256 in enumerate(hashes):
            if not isinstance(sha256, str) or not SHA256_RE.fullmatch(sha256):
                words = f"images holds {shown(sha256)}, no SHA-256 of a picture; submit its folder or list instead."
                self._refuse("unknown_picture", words, "images")
                sha256 = ""
            name = names[place] if place < len(names) else ""
            if not isinstance(name, str):
                self._refuse("wrong_value", f"names holds {shown(name)}: text is expected.", "names")
                name = ""
            yield RowImage(sha256, name, *self._size(sizes[place] if place < len(sizes) else [0, 0]))

    def _size(self, size: object) -> tuple[int, int]:
        if isinstance(size, list) and [type(side) for side in size] == [int, int]:
            width, height = size
            if min(width, height) >= 0 and width * height <= MAX_INPUT_PIXELS:
                return width, height
        self._refuse("wrong_value", f"sizes holds {shown(size)}: [width, height] is expected.", "sizes")
        return 0, 0

    def _list(self, key: str, data: dict[str, Any]) -> list[Any]:
        value = data.get(key) or []
        if isinstance(value, list):
            return value
        self._refuse("wrong_value", f"{key} is {shown(value)}: a list is expected.", key)
        return []

    def _words(self, key: str, data: dict[str, Any]) -> tuple[str, ...]:
        """The lines of a text that say something."""
        value = data.get(key) or ""
        if not isinstance(value, str):
            self._refuse("wrong_value", f"{key} is {shown(value)}: text is expected.", key)
            return ()
        return tuple(line for raw in lines_of(value) if (line := trim(raw)))

    def _refuse(self, code: str, words: str, field: str) -> None:
        self._report.refuse(code, words, field, row=self._index + 1)
