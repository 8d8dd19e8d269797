"""The pictures that each node gave lately, so that one which comes again for another request is known.

In memory, of this process: a run knows the results of the runs before it, and a fresh process begins anew.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final

from jobs.truth.pixel_rules import Seen

MOST: Final = 16


@dataclass(frozen=True, slots=True)
class _Given:
    job_id: int
    seen: Seen


_lately: defaultdict[int, deque[_Given]] = defaultdict(lambda: deque(maxlen=MOST))


def remember(node_id: int, job_id: int, fingerprint: str, wish: str) -> None:
    """An accepted picture; one that was not looked at has no fingerprint, and is none."""
    if fingerprint:
        _lately[node_id].append(_Given(job_id, Seen(fingerprint, wish, f"job {job_id}")))


def given_before(node_id: int, *, but_for: int) -> tuple[Seen, ...]:
    """What this node gave for other jobs than this one."""
    return tuple(one.seen for one in _lately[node_id] if one.job_id != but_for)
