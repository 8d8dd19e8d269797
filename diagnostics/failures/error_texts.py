"""What each error code means in plain words, and what to do about it: `docs/errors.md` as values.

The words stand at the classes of the errors, in `webui.errors` and `jobs.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from jobs.errors import RunError
from webui.errors import WebUIError

ErrorT = TypeVar("ErrorT", bound=Exception)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why jobs fail: `what` happened and the `remedy`, one sentence each."""

    code: str
    what: str
    remedy: str


@cache
def known_causes() -> Mapping[str, Cause]:
    """Every cause by its code."""
    kinds: list[type[WebUIError] | type[RunError]] = [WebUIError, *_below(WebUIError), *_below(RunError)]
    return MappingProxyType(
        {kind.code: Cause(kind.code, kind.sentence(), kind.remediation) for kind in kinds}
    )


def cause_of(code: str, *, told: str = "", remedy: str = "") -> Cause:
    """The cause with this code; one that nobody knows is told by `told` and `remedy` of one of its failures."""
    known = known_causes().get(code)
    return known or Cause(code, told or "It failed in a way that has no name here.", remedy)


def _below(kind: type[ErrorT]) -> Iterator[type[ErrorT]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
