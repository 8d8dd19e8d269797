"""Choices within a prompt, `{red|blue}`, as dynamic prompts write them; and what else of those is known by sight only.

A choice is a wildcard whose values stand in its name. `{2$$a|b}`, weights, nesting and `${variables}` are told, not
read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from jobs.packs.matrix import Slot

MAX_CHOICE_CHARS: Final = 2_000
"""Longer braces are words."""

_BRACE_RE: Final = re.compile(r"(?<!\\)[{}]|\n")
_BAR_RE: Final = re.compile(r"[\[\](){}<>|]")
_GLOB_RE: Final = re.compile(r"__[\w/ .-]{0,80}+\*[\w/ .*-]{0,80}?__", re.ASCII)
_OPENING: Final = "[(<"
_CLOSING: Final = "])>"


class _Braces(NamedTuple):
    start: int
    end: int
    text: str
    is_nested: bool


def choices_in(text: str) -> tuple[Slot, ...]:
    """The choices of a text, named by what is written; an equal one further on has a name and a draw of its own."""
    return tuple(
        Slot(name, tuple(dict.fromkeys(_split(braces.text[1:-1])))) for name, braces in _choices(text)
    )


def put_choices(text: str, chosen: Mapping[str, str]) -> str:
    """Put the chosen words for choices, by their names."""
    kept: list[str] = []
    end = 0
    for name, braces in _choices(text):
        if name in chosen:
            kept += [text[end : braces.start], chosen[name]]
            end = braces.end
    return "".join([*kept, text[end:]])


def foreign_constructs(text: str) -> tuple[str, ...]:
    """What only dynamic prompts know and is sent as it stands: each once, as it is written."""
    found: dict[str, None] = {}
    for braces in _braces(text):
        is_variable = text[braces.start - 1 : braces.start] == "$"
        bars = "|" in braces.text
        if is_variable or (bars and not _is_choice(text, braces)) or "$$" in braces.text:
            found["$" * is_variable + braces.text] = None
    found |= dict.fromkeys(_GLOB_RE.findall(text) if "*" in text else ())
    return tuple(found)


def _choices(text: str) -> Iterator[tuple[str, _Braces]]:
    """Each choice with its name: `{a|b}`, and `{a|b} #2` where the same is written again."""
    seen: Counter[str] = Counter()
    for braces in _braces(text) if "|" in text else ():
        if _is_choice(text, braces):
            seen[braces.text] += 1
            number = seen[braces.text]
            yield f"{braces.text} #{number}" if number > 1 else braces.text, braces


def _is_choice(text: str, braces: _Braces) -> bool:
    inner = braces.text
    plain = not braces.is_nested and "$$" not in inner and "::" not in inner
    return plain and "|" in inner and text[braces.start - 1 : braces.start] != "$"


def _braces(text: str) -> Iterator[_Braces]:
    """Outermost braces within a line."""
    depth = start = 0
    is_nested = False
    for match in _BRACE_RE.finditer(text) if "{" in text else ():
        mark = match[0]
        if mark == "\n":
            depth = 0
        elif mark == "{":
            if depth == 0:
                start, is_nested = match.start(), False
            else:
                is_nested = True
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0 and match.end() - start <= MAX_CHOICE_CHARS:
                yield _Braces(start, match.end(), text[start : match.end()], is_nested)


def _split(inner: str) -> Iterator[str]:
    """The values between the bars that stand in no other bracket."""
    depth = start = 0
    for match in _BAR_RE.finditer(inner):
        if match[0] in _OPENING:
            depth += 1
        elif match[0] in _CLOSING:
            depth = max(0, depth - 1)
        elif match[0] == "|" and depth == 0:
            yield inner[start : match.start()].strip()
            start = match.end()
    yield inner[start:].strip()
