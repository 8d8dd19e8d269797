"""How numbers, durations and foreign words are written; pages write points in time with their template filters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""No database takes these characters, and no honest server sends them."""


class ServerNoun(StrEnum):
    """What a server is called in a sentence."""

    WEBUI = "WebUI"
    WORKER = "worker"


def writable(text: str) -> str:
    """Foreign text as it can be kept and shown."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def count(number: int, noun: str) -> str:
    """`1 job`, `1,234 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def duration(seconds: float | None) -> str:
    """`0.4 s`, `37 s`, `2 min 5 s`, `1 h 7 min`, `3 d`: the two largest units; an unknown one is a dash."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for unit_s, unit, part_s, part in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit_s:
            rest = whole % unit_s // part_s
            return f"{whole // unit_s} {unit} {rest} {part}" if rest else f"{whole // unit_s} {unit}"
    return f"{whole} s"


def ended(sentence: str) -> str:
    """The sentence with a full stop where it has no end: the words of a system end as they like, and others follow."""
    sentence = sentence.rstrip()
    return sentence if not sentence or sentence.endswith((".", "!", "?", "…")) else f"{sentence}."
