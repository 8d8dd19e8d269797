"""What reading a pack tells its author without refusing it. Refusals are `RecordProblem`s of a build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Self, TypeVar

from jobs.errors import RecordProblem
from jobs.records.stage_config import FrozenValue

T = TypeVar("T")

MAX_WARNINGS: Final = 1_000
"""Warnings that are kept of one reading; the rest is counted."""
MORE_WARNINGS: Final = "more_warnings"
"""The code of the warning that counts those that were not kept."""
MAX_PROBLEMS: Final = 20_000
"""Reasons of a refusal that are kept; the rest is left out."""
MAX_RUNS: Final = 12
"""Ranges of rows that one sentence lists."""


class PackWarning(FrozenValue):
    """`line` counts from 1 in the text, None for a warning about the JSON; `row` counts from 1."""

    code: str
    message: str
    line: int | None = None
    row: int | None = None
    field: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line is not None else self.message


class Bounded(list[T], Generic[T]):
    """A list that takes `most` items; `left_out` counts what came after them.

    What is found in somebody's file grows with the file, and is kept in memory, in the database and on pages.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.left_out = most, 0

    @property
    def is_full(self) -> bool:
        return len(self) >= self.most

    def keep(self, items: Sequence[T]) -> None:
        """Take all of these, first of all; they do not count."""
        self.most += len(items)
        self[:0] = items

    def append(self, item: T) -> None:
        if self.is_full:
            self.left_out += 1
        else:
            super().append(item)

    def extend(self, items: Iterable[T]) -> None:
        for item in items:
            self.append(item)

    def __iadd__(self, items: Iterable[T]) -> Self:  # type: ignore[override, misc]
        self.extend(items)
        return self


def told(warnings: Bounded[PackWarning]) -> tuple[PackWarning, ...]:
    """The warnings, and as the last one how many more there were."""
    more = warnings.left_out
    if not more:
        return tuple(warnings)
    words = f"{more:,} more {'warning is' if more == 1 else 'warnings are'} not listed."
    # Beside the last line that is told: what is left out is about lines after it.
    line = max((warning.line for warning in warnings if warning.line is not None), default=None)
    return (*warnings, PackWarning(code=MORE_WARNINGS, message=words, line=line))


@dataclass(slots=True)
class Report:
    """What reading found so far, bounded. `pack` names the pack in every problem, `row` the row that all is about."""

    pack: str
    warnings: Bounded[PackWarning] = field(default_factory=lambda: Bounded(MAX_WARNINGS))
    problems: Bounded[RecordProblem] = field(default_factory=lambda: Bounded(MAX_PROBLEMS))
    row: int | None = None

    def warn(self, code: str, words: str, setting: str = "") -> None:
        if self.warnings.is_full:
            self.warnings.left_out += 1
            return
        self.warnings.append(PackWarning(code=code, message=words, field=setting))

    def refuse_rows(self, code: str, words: str, setting: str, rows: tuple[int, ...]) -> None:
        """One problem of several rows, counted from 1."""
        if self.problems.is_full:
            self.problems.left_out += 1
            return
        where = f"Pack {self.pack}, {row_ranges(rows)}"
        row = rows[0] if len(rows) == 1 else None
        self.problems.append(
            RecordProblem(
                code=code, message=f"{where}: {words}", pack=self.pack, row=row, field=setting, rows=rows
            )
        )

    def refuse(self, code: str, words: str, setting: str = "", row: int | None = None) -> None:
        if self.problems.is_full:
            self.problems.left_out += 1
            return
        row = self.row if row is None else row
        where = f"Pack {self.pack}" if row is None else f"Pack {self.pack}, row {row}"
        self.problems.append(
            RecordProblem(code=code, message=f"{where}: {words}", pack=self.pack, row=row, field=setting)
        )


def row_ranges(numbers: Iterable[int]) -> str:
    """`rows 1–4, 7` for 1, 2, 3, 4, 7; "" for none."""
    runs = list(_runs(sorted(numbers)))
    shown = [f"{first}–{last}" if last > first else f"{first}" for first, last in runs[:MAX_RUNS]]
    if not shown:
        return ""
    more = sum(last - first + 1 for first, last in runs[MAX_RUNS:])
    rest = f" and {more:,} more" if more else ""
    return f"{'row' if runs[0][0] == runs[-1][1] else 'rows'} {', '.join(shown)}{rest}"


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = 0
    for number in numbers:
        if first and number == last + 1:
            last = number
            continue
        if first:
            yield first, last
        first = last = number
    if first:
        yield first, last
