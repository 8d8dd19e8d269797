"""What differs between two contents of a pack: lines of the text and of the JSON, and rows. Bounded and pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.errors import DocumentError
from jobs.packs.document import parse_document
from jobs.packs.grammar import PackRow, lines_of

#: Equal lines shown before and after each change.
CONTEXT = 3
#: Lines shown of one difference; the rest is only counted.
MAX_SHOWN = 600
#: A changed middle longer than this counts as replaced altogether: to compare it would take seconds.
MAX_COMPARED = 2_000
#: Characters shown of one line.
MAX_CHARS = 2_000

Sign = Literal["same", "added", "removed", "gap"]
_Opcode = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line and its number in the old and in the new text (None where it has none).

    A gap stands for `skipped` equal lines. `opens`: it is the first of several lines of the same sign.
    """

    sign: Sign
    text: str = ""
    old: int | None = None
    new: int | None = None
    skipped: int = 0
    opens: bool = False


@dataclass(frozen=True, slots=True)
class TextDifference:
    """Changed lines with their surroundings; `more` are further lines that are not shown."""

    added: int
    removed: int
    lines: tuple[DiffLine, ...]
    more: int

    @property
    def changed(self) -> bool:
        return bool(self.added or self.removed)


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that differs; `old` and `new` count from 1, 0 where it does not exist."""

    old: int
    new: int
    words: str


@dataclass(frozen=True, slots=True)
class RowDifference:
    """Rows by what happened to them; `same` is how many did not change."""

    changed: tuple[RowChange, ...]
    added: tuple[RowChange, ...]
    removed: tuple[RowChange, ...]
    same: int


def text_difference(old: str, new: str) -> TextDifference:
    """Lines removed from `old` and added in `new`."""
    before, after = list(lines_of(old)) if old else [], list(lines_of(new)) if new else []
    codes = _opcodes(before, after)
    changes = [code for code in codes if code[0] != "equal"]
    shown: list[DiffLine] = []
    total = 0
    for line in _lines(codes, before, after):
        total += 1
        if len(shown) < MAX_SHOWN:
            shown.append(line)
    return TextDifference(
        added=sum(j2 - j1 for _, _, _, j1, j2 in changes),
        removed=sum(i2 - i1 for _, i1, i2, _, _ in changes),
        lines=tuple(shown) if changes else (),
        more=total - len(shown) if changes else 0,
    )


def document_difference(old: str, new: str) -> TextDifference:
    """The difference of two JSON documents with one value a line, however they were written."""
    return text_difference(_laid_out(old), _laid_out(new))


def row_difference(old: Sequence[PackRow], new: Sequence[PackRow]) -> RowDifference:
    """Which rows changed; where several were replaced, the first new one counts as the first old one changed."""
    changed: list[RowChange] = []
    added: list[RowChange] = []
    removed: list[RowChange] = []
    same = 0
    for tag, i1, i2, j1, j2 in _opcodes([row.content for row in old], [row.content for row in new]):
        if tag == "equal":
            same += i2 - i1
            continue
        pairs = min(i2 - i1, j2 - j1)
        changed += [RowChange(i1 + k + 1, j1 + k + 1, new[j1 + k].positive_text) for k in range(pairs)]
        removed += [RowChange(i + 1, 0, old[i].positive_text) for i in range(i1 + pairs, i2)]
        added += [RowChange(0, j + 1, new[j].positive_text) for j in range(j1 + pairs, j2)]
    return RowDifference(tuple(changed), tuple(added), tuple(removed), same)


def _opcodes(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[_Opcode]:
    """difflib's opcodes, rising. The ends that are equal are found first, so that a small change is cheap."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(middle_old), len(middle_new)) > MAX_COMPARED:
        middle: list[_Opcode] = [("replace", 0, len(middle_old), 0, len(middle_new))]
    else:
        middle = [*difflib.SequenceMatcher(None, middle_old, middle_new).get_opcodes()]
    return [
        ("equal", 0, head, 0, head),
        *((tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in middle),
        ("equal", len(old) - tail, len(old), len(new) - tail, len(new)),
    ]


def _common(old: Sequence[Hashable], new: Sequence[Hashable]) -> int:
    """How many items are equal from the start."""
    shorter = min(len(old), len(new))
    return next((place for place in range(shorter) if old[place] != new[place]), shorter)


def _lines(codes: Sequence[_Opcode], old: Sequence[str], new: Sequence[str]) -> Iterator[DiffLine]:
    """Changed lines, up to `CONTEXT` equal ones around them, and gaps for the others."""
    for place, (tag, i1, i2, j1, j2) in enumerate(codes):
        if tag == "equal":
            before = 0 if place == 0 else min(CONTEXT, i2 - i1)
            after = 0 if place == len(codes) - 1 else min(CONTEXT, i2 - i1 - before)
            yield from _same(old, i1, j1, before)
            if skipped := i2 - i1 - before - after:
                yield DiffLine("gap", skipped=skipped)
            yield from _same(old, i2 - after, j2 - after, after)
            continue
        for i in range(i1, i2):
            yield DiffLine("removed", _cut(old[i]), old=i + 1, opens=i == i1)
        for j in range(j1, j2):
            yield DiffLine("added", _cut(new[j]), new=j + 1, opens=j == j1)


def _same(old: Sequence[str], i: int, j: int, count: int) -> Iterator[DiffLine]:
    for step in range(count):
        yield DiffLine("same", _cut(old[i + step]), old=i + step + 1, new=j + step + 1)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]} …"


def _laid_out(document: str) -> str:
    """JSON with one value a line; a text that is none stays as it is."""
    try:
        data = parse_document(document)
    except DocumentError:
        return document
    return json.dumps(data, indent=2, ensure_ascii=False) if data else ""
