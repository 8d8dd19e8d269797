"""A row as the file of another program gives it, and what is told of it. Reading such files is not for here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from jobs.errors import UnreadableError
from jobs.packs.document import SECTIONS
from jobs.packs.options import JsonScalar
from jobs.packs.values import read_leniently

MAX_NOTES: Final = 50
"""Sentences about one conversion; more are counted."""
_MAX_LISTED: Final = 8


@dataclass(slots=True)
class ForeignRow:
    """A prompt with its settings by path; `line` is its first, `unknown` the names that are no settings here."""

    line: int
    positive: str
    negative: str = ""
    settings: dict[str, JsonScalar] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Notes:
    """What of a file is not in its pack, or is there in another way, a sentence each."""

    found: list[str] = field(default_factory=list)

    def add(self, line: int, words: str) -> None:
        self.found.append(f"line {line}: {words}")

    def listed(self) -> tuple[str, ...]:
        more = len(self.found) - MAX_NOTES
        rest = (f"and {more:,} more",) if more > 0 else ()
        return (*self.found[:MAX_NOTES], *rest)


def take(row: ForeignRow, path: str, value: str, name: str, notes: Notes) -> None:
    """Give the row a setting, `name` being its name in the file and `path` "" where it is none here."""
    section, _, key = path.partition(".")
    if not path:
        row.unknown.append(name[:60])
        return
    try:
        read, bent = read_leniently(SECTIONS[section], key, value)
    except UnreadableError as error:
        notes.add(row.line, f"{name} is {value[:60]!r}: {error}; it is left out.")
        return
    if bent:
        notes.add(row.line, f"{name} is {value[:60]!r}: {bent}.")
    tell_second(row, name, row.settings.get(path, ""), read, notes)
    row.settings[path] = read


def tell_second(row: ForeignRow, name: str, first: JsonScalar, second: JsonScalar, notes: Notes) -> None:
    """Tell that a row is given another value in place of its first one ("" where it has none)."""
    if first not in ("", second):
        words = f"{name} is {str(second)[:60]!r} after {str(first)[:60]!r}; the last one counts."
        notes.add(row.line, words)


def tell_unknown(row: ForeignRow, notes: Notes) -> None:
    if row.unknown:
        unknown = list(dict.fromkeys(row.unknown))
        verb = "is no setting" if len(unknown) == 1 else "are no settings"
        notes.add(row.line, f"{listed_names(unknown)} {verb} of a row here; left out.")


def listed_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED:,} more" if len(names) > _MAX_LISTED else ""
    return f"{', '.join(names[:_MAX_LISTED])}{more}"
