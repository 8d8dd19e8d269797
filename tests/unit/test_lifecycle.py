"""The table of moves, whole."""

from __future__ import annotations

import itertools

import pytest

from jobs.lifecycle import TERMINAL, TRANSITIONS, JobStatus

ALLOWED = {
    ("QUEUED", "RUNNING"),
    ("QUEUED", "CANCELLED"),
    ("RUNNING", "COMPLETED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLED"),
    ("RUNNING", "QUEUED"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobStatus, JobStatus)))
def test_exactly_the_designed_moves_are_allowed(before: JobStatus, after: JobStatus) -> None:
    assert (after in TRANSITIONS[before]) == ((before.value, after.value) in ALLOWED)


def test_nothing_leaves_an_end() -> None:
    assert {status for status, ways in TRANSITIONS.items() if not ways} == TERMINAL
