"""The history of one node as a page shows it: a line for each generation, the newest first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from webui.models import Boot, Node, NodeState
from webui.words import duration

PAGE_LINES = 50
SHORT_LINES = 8
"""So many on the node's own page."""


@dataclass(frozen=True, slots=True)
class BootLine:
    """`ready_after` and `lasted` in words; empty where it never became ready, or nobody saw its end."""

    generation: int
    status: str
    word: str
    begun_at: datetime
    begun_because: str
    pid: int | None
    ready_after: str
    ended_at: datetime | None
    ended_because: str
    lasted: str


@dataclass(frozen=True, slots=True)
class BootLines:
    lines: tuple[BootLine, ...]
    before: int
    """The generation that the next page begins below; 0 where there is none."""

    @property
    def version(self) -> str:
        """Equal versions mean equal lines."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def boot_lines(node: Node, before: int = 0, *, size: int = PAGE_LINES) -> BootLines:
    """One query; `before` = only generations below it."""
    rows = Boot.objects.filter(node_id=node.pk).order_by("-generation")
    if before:
        rows = rows.filter(generation__lt=before)
    found = list(rows[: size + 1])
    shown = found[:size]
    return BootLines(
        lines=tuple(
            _line(node, row, earlier) for row, earlier in zip(shown, [*found[1:], None], strict=False)
        ),
        before=shown[-1].generation if len(found) > size else 0,
    )


def _line(node: Node, row: Boot, earlier: Boot | None) -> BootLine:
    status, word = _how_it_is(node, row)
    return BootLine(
        generation=row.generation,
        status=status,
        word=word,
        begun_at=row.begun_at,
        begun_because=_why_begun(row, earlier),
        pid=row.pid,
        ready_after=_between(row.begun_at, row.ready_at),
        ended_at=row.ended_at,
        ended_because=row.ended_because,
        lasted=_between(row.begun_at, row.ended_at),
    )


def _why_begun(row: Boot, earlier: Boot | None) -> str:
    """What ended the one before stands in the line below and is not said twice."""
    _, again, end = row.begun_because.partition("Starting again: ")
    if again and earlier is not None and earlier.ended_because.endswith(end):
        return f"Started again after the end of generation {earlier.generation}."
    return row.begun_because


def _how_it_is(node: Node, row: Boot) -> tuple[str, str]:
    """Which colour and icon a line has, and its word."""
    if not row.ended_because and row.ended_at is None and row.generation == node.generation:
        return node.state, NodeState(node.state).label
    if row.ended_at is None:
        return "UNREACHABLE" if row.ready_at is None else "STOPPED", "End not seen"
    return ("STOPPED", "Ended") if row.ready_at else ("FAILED", "Never ready")


def _between(begin: datetime, end: datetime | None) -> str:
    return "" if end is None else duration((end - begin).total_seconds())
