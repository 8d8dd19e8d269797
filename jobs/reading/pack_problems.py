"""Why packs cannot be submitted, in the words of a page: one sentence for what several rows share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from jobs.errors import RecordProblem
from jobs.packs.findings import row_ranges
from jobs.packs.formats import FORMATS

_ROW: Final = re.compile(r", row \d+: ")
_LINE: Final = re.compile(r" \(the row begins in line \d+\)")
#: Options of the command line, and the fields of the page that do the same.
_OPTIONS: Final = (
    (
        re.compile(r"give it values with --matrix (?:'.*?VALUE,VALUE'|\S*?=VALUE,VALUE)"),
        "give it values in its field",
    ),
    (re.compile(r"skip (these rows|this row) with --skip-unfilled"), r"skip \1 with “Skip unfilled rows”"),
    (re.compile(r"^--matrix "), "Matrix "),
    (re.compile(r"\(--matrix NAME=VALUE,VALUE\)"), "(in “Matrix”)"),
    *(
        (re.compile(rf"with --format {re.escape(name)}\b"), f"with the format “{words}”")
        for name, words in FORMATS.items()
    ),
    (re.compile(r"--strict"), "“Strict”"),
    (re.compile(r"--set (\S+?=\S*?)(?=[.,;]?(?:\s|$))"), r"\1 in “Settings”"),
    (re.compile(r"--limit"), "“At most”"),
    (re.compile(r"--rows"), "“Rows”"),
)


def problem_sentences(problems: Iterable[RecordProblem]) -> tuple[str, ...]:
    """Every problem once; those that differ by their row alone are one sentence that names the rows."""
    groups: dict[tuple[str, bool], list[RecordProblem]] = {}
    for problem in problems:
        groups.setdefault((_without_row(problem), problem.row is None), []).append(problem)
    return tuple(_sentence(group) for group in groups.values())


def on_page(message: str) -> str:
    """A message for people at the page instead of the command line."""
    for pattern, words in _OPTIONS:
        message = pattern.sub(words, message)
    return message


def _sentence(group: Sequence[RecordProblem]) -> str:
    rows = {problem.row for problem in group if problem.row is not None}
    if len(rows) < 2:
        return on_page(group[0].message)
    return on_page(_ROW.sub(f", {row_ranges(rows)}: ", _LINE.sub("", group[0].message), count=1))


def _without_row(problem: RecordProblem) -> str:
    return _ROW.sub(": ", _LINE.sub("", problem.message), count=1)
