"""What reading a pack tells its author without refusing it. Refusals are `RecordProblem`s of a build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from jobs.errors import RecordProblem
from jobs.records.stage_config import FrozenValue

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


@dataclass(slots=True)
class Report:
    """What reading found so far. `pack` names the pack in every problem, `row` the row that all is about."""

    pack: str
    warnings: list[PackWarning] = field(default_factory=list)
    problems: list[RecordProblem] = field(default_factory=list)
    row: int | None = None

    def warn(self, code: str, words: str, setting: str = "") -> None:
        self.warnings.append(PackWarning(code=code, message=words, field=setting))

    def refuse_rows(self, code: str, words: str, setting: str, rows: tuple[int, ...]) -> None:
        """One problem of several rows, counted from 1."""
        where = f"Pack {self.pack}, {row_ranges(rows)}"
        row = rows[0] if len(rows) == 1 else None
        self.problems.append(
            RecordProblem(
                code=code, message=f"{where}: {words}", pack=self.pack, row=row, field=setting, rows=rows
            )
        )

    def refuse(self, code: str, words: str, setting: str = "", row: int | None = None) -> None:
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
