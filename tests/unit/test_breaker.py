"""The breaker's decisions, from stored facts and one given now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.queue.breaker import CLOSED, MOST, REASON_LENGTH, Breaker, BreakerPolicy

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
POLICY = BreakerPolicy(failures=3, pause_s=600.0, max_pause_s=3600.0)


def crashed(breaker: Breaker = CLOSED, times: int = 1, at: datetime = NOW) -> Breaker:
    for _ in range(times):
        breaker = breaker.after_crash("The WebUI died.", at, POLICY)
    return breaker


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def test_two_crashes_in_a_row_are_counted_and_stop_nothing() -> None:
    breaker = crashed(times=2)
    assert (breaker.crash_failures, breaker.is_open) == (2, False)
    assert breaker.may_claim(NOW)


def test_third_crash_in_a_row_opens_it_and_says_why() -> None:
    breaker = crashed(times=3)
    assert (breaker.opened_at, breaker.opens) == (NOW, 1)
    assert breaker.reason == "3 crashes in a row, the last: The WebUI died."


def test_open_breaker_allows_a_claim_only_from_its_time_on() -> None:
    breaker = crashed(times=3)
    assert not breaker.may_claim(NOW + minutes(10) - timedelta(seconds=1))
    assert breaker.may_claim(NOW + minutes(10))


def test_each_crashed_canary_doubles_the_pause_up_to_an_hour() -> None:
    breaker, pauses = crashed(times=2), []
    for _ in range(6):
        breaker = crashed(breaker)
        assert breaker.until is not None
        pauses.append((breaker.until - NOW) / minutes(1))
    assert pauses == [10, 20, 40, 60, 60, 60]
    assert breaker.opened_at == NOW
    assert breaker.reason.startswith("The job that was tried crashed as well: The WebUI")


def test_years_of_crashes_overflow_neither_the_pause_nor_the_columns() -> None:
    breaker = crashed(Breaker(MOST, NOW, NOW, MOST, "x"))
    assert (breaker.crash_failures, breaker.opens) == (MOST, MOST)
    assert breaker.until == NOW + minutes(60)


def test_a_long_reason_is_cut_to_its_column() -> None:
    breaker = Breaker(crash_failures=2).after_crash("x" * 900, NOW, POLICY)
    assert len(breaker.reason) == REASON_LENGTH


@pytest.mark.parametrize("failures", [1, 5])
def test_the_number_of_crashes_is_the_policys(failures: int) -> None:
    policy = BreakerPolicy(failures, pause_s=1, max_pause_s=2)
    breaker = CLOSED
    for number in range(1, failures + 1):
        breaker = breaker.after_crash("gone", NOW, policy)
        assert breaker.is_open is (number == failures)
    assert breaker.reason == ("A crash: gone" if failures == 1 else "5 crashes in a row, the last: gone")


def test_a_person_lets_a_canary_come_at_once_and_never_later() -> None:
    breaker = crashed(times=3)
    later = NOW + minutes(3)
    resumed = breaker.after_resume(later)
    assert (resumed.is_open, resumed.until) == (True, later)
    assert resumed.may_claim(later)
    assert resumed.after_resume(later + minutes(1)) == resumed


def test_resuming_a_closed_breaker_changes_nothing() -> None:
    assert crashed(times=2).after_resume(NOW) == crashed(times=2)


def test_an_early_canary_that_crashes_waits_the_doubled_pause_from_then_on() -> None:
    early = NOW + minutes(1)
    breaker = crashed(crashed(times=3).after_resume(early), at=early)
    assert breaker.until == early + minutes(20)
