"""The same line is told a few times; other lines always."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from stablenew_site.log_limit import MOST, REMEMBERED, WINDOW_S, SameLines


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def record(message: str, *arguments: object, name: str = "jobs.running.ends") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "x.py", 1, message, arguments, None)


def test_the_same_line_is_told_a_few_times_and_then_with_how_many_there_were() -> None:
    clock = Clock()
    limit = SameLines(clock)
    assert [limit.filter(record("accept() threw")) for _ in range(1_000)] == [True] * MOST + [False] * (
        1_000 - MOST
    )
    clock.now_s += WINDOW_S
    again = record("accept() threw")
    assert limit.filter(again)
    assert (
        again.getMessage()
        == f"accept() threw (and {1_000 - MOST:,} times more since the last of these lines)"
    )
    clock.now_s += WINDOW_S
    quiet = record("accept() threw")
    assert limit.filter(quiet)
    assert quiet.getMessage() == "accept() threw"


@given(st.lists(st.integers(), min_size=1, max_size=200, unique=True))
def test_lines_that_differ_are_all_told(jobs: list[int]) -> None:
    limit = SameLines(Clock())
    assert all(limit.filter(record("Job %s is COMPLETED.", job)) for job in jobs)


def test_the_web_server_s_lines_about_itself_are_the_same_with_another_number() -> None:
    limit = SameLines(Clock())
    words = "Task queue depth is %d"
    passed = [limit.filter(record(words, depth, name="waitress.queue")) for depth in range(1_000)]
    assert passed == [True] * MOST + [False] * (1_000 - MOST)


def test_what_is_remembered_is_bounded() -> None:
    limit = SameLines(Clock())
    for number in range(3 * REMEMBERED):
        limit.filter(record("line %d", number))
    assert len(limit._told) == REMEMBERED
