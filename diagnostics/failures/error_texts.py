"""What each error code means in plain words, and what to do about it: `docs/errors.md` as values.

The words about the WebUI's errors stand at their classes in `webui.errors`; those of our own codes stand here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from webui.errors import WebUIError


@dataclass(frozen=True, slots=True)
class Cause:
    """Why jobs fail: `what` happened and the `remedy`, one sentence each."""

    code: str
    what: str
    remedy: str


#: Codes of failures that are not the WebUI's fault.
OURS = (
    Cause(
        "JOB_DEADLINE",
        "The job ran longer than one job may.",
        "Make the job smaller, or raise STABLENEW_JOB_DEADLINE_S.",
    ),
    Cause(
        "WORKER_LOST",
        "The process that ran the job was lost, in the retry or again and again.",
        "Look for the reason in the log of run_node and the machine's (killed for memory?), then run it again.",
    ),
    Cause(
        "RECORD_CHANGED",
        "The stored record no longer has the hash with which it was queued.",
        "Somebody changed the database by hand; submit the pack again.",
    ),
    Cause(
        "WEBUI_BAD_PICTURE",
        "A picture came that cannot be opened.",
        "Look at the WebUI's log, then run the job again.",
    ),
    Cause(
        "OUTPUT_NOT_WRITTEN",
        "The pictures could not be written to the disk.",
        "See that the data folder is writable and the disk has room, then run the job again.",
    ),
    Cause(
        "INTERNAL_ERROR",
        "A fault of StableNew.",
        "Report it with the job's page and the log of run_node.",
    ),
)


@cache
def known_causes() -> Mapping[str, Cause]:
    """Every cause by its code."""
    found = {cause.code: cause for cause in OURS}
    for kind in _tree(WebUIError):
        found.setdefault(kind.code, Cause(kind.code, _first_line(kind), kind.remediation))
    return MappingProxyType(found)


def cause_of(code: str, *, told: str = "", remedy: str = "") -> Cause:
    """The cause with this code; one that nobody knows is told by `told` and `remedy` of one of its failures."""
    known = known_causes().get(code)
    return known or Cause(code, told or "It failed in a way that has no name here.", remedy)


def _tree(kind: type[WebUIError]) -> Iterator[type[WebUIError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _first_line(kind: type[WebUIError]) -> str:
    return (inspect.getdoc(kind) or kind.code).splitlines()[0]
