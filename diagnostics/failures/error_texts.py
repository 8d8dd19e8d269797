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
from webui.kinds import server_noun
from webui.words import ServerNoun

ErrorT = TypeVar("ErrorT", bound=Exception)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why jobs fail: `what` happened and the `remedy`, one sentence each."""

    code: str
    what: str
    remedy: str


@cache
def known_causes(server: ServerNoun) -> Mapping[str, Cause]:
    """Every cause by its code, in the words for such a server."""
    kinds: list[type[WebUIError] | type[RunError]] = [WebUIError, *_below(WebUIError), *_below(RunError)]
    return MappingProxyType({one.code: Cause(one.code, *_words(one, server)) for one in kinds})


def _words(kind: type[WebUIError] | type[RunError], server: ServerNoun) -> tuple[str, str]:
    if issubclass(kind, WebUIError):
        told = kind.told_of(server)
        return told.what, told.remedy
    return kind.sentence(), kind.remediation


def cause_of(code: str, kind: str, *, told: str = "", remedy: str = "") -> Cause:
    """The cause with this code of jobs of this kind; one that nobody knows is told by `told` and `remedy` of one of
    its failures.
    """
    known = known_causes(server_noun(kind)).get(code)
    return known or Cause(code, told or "It failed in a way that has no name here.", remedy)


def _below(kind: type[ErrorT]) -> Iterator[type[ErrorT]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
