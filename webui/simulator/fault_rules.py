"""Rules of the switchboard: which kind of fault strikes which requests or starts.

    [once[:LABEL] ]KIND[=SECONDS]@WHICH        WHICH: * or a list of N, N-M, N- with commas between
    [once[:LABEL] ]KIND[=SECONDS]~WORD         requests whose prompt contains WORD

N counts generation requests, or starts for kinds that strike those, over all that the journal tells of. A rule
with `once` acts once for each line that has its very text; a label makes it another rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

RULE = re.compile(
    r"(?P<once>once(?::\S+)?\s+)?(?P<kind>[a-z0-9-]+)(?:=(?P<seconds>[0-9]+(?:\.[0-9]+)?))?"
    r"(?:@(?P<which>[0-9,*-]+)|~(?P<word>.+))",
    re.DOTALL,
)
SPAN = re.compile(r"([1-9][0-9]*)(-?)([1-9][0-9]*)?")
FORM = "write KIND@N, KIND@N-M, KIND@* or KIND~WORD"

Span = tuple[int, int | None]
"""First and last number; None is open."""


@dataclass(frozen=True)
class Rule:
    """One rule; exactly one of `spans` and `word` is given."""

    text: str
    """As written; a rule with `once` is known by it."""
    kind: str
    spans: tuple[Span, ...] = ()
    word: str | None = None
    seconds: float | None = None
    once: bool = False

    def fits(self, number: int, prompt: str | None = None) -> bool:
        if self.word is not None:
            return self.word in (prompt or "")
        return any(first <= number and (last is None or number <= last) for first, last in self.spans)


@dataclass(frozen=True)
class Due:
    """A rule that fits a request or a start; it acts unless it has acted `at_most` times before."""

    rule: Rule
    at_most: int | None = None


def parse_rule(text: str, kinds: Collection[str]) -> Rule:
    """Raises ValueError with a sentence."""
    match = RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a fault; {FORM}, for example 500@3")
    if match["kind"] not in kinds:
        raise ValueError(f"there is no fault {match['kind']!r}; there are {', '.join(kinds)}")
    return Rule(
        text=text,
        kind=match["kind"],
        spans=_spans(match["which"], text) if match["which"] else (),
        word=match["word"],
        seconds=float(match["seconds"]) if match["seconds"] else None,
        once=match["once"] is not None,
    )


def _spans(which: str, text: str) -> tuple[Span, ...]:
    if which == "*":
        return ((1, None),)
    spans = []
    for part in which.split(","):
        match = SPAN.fullmatch(part)
        if match is None or (match[3] and (not match[2] or int(match[3]) < int(match[1]))):
            raise ValueError(f"{part!r} in the fault {text!r} is no number from 1 and no range; {FORM}")
        last = int(match[3]) if match[3] else None if match[2] else int(match[1])
        spans.append((int(match[1]), last))
    return tuple(spans)
