"""The account as a function of facts and one frozen now: the same facts, the same words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from diagnostics.explaining.explain import explain
from diagnostics.explaining.job_facts import EventFacts, Situation
from jobs.lifecycle import EventType
from jobs.queue.breaker import Breaker
from jobs.queue.hold_words import clock_time
from jobs.queue.holds import NodeFacts

NOW = datetime(2026, 1, 31, 14, 3, 5, tzinfo=UTC)
WAITING = Situation(now=NOW, job_id=7, status="QUEUED", stages=("txt2img",))
RESTING = Breaker(
    opened_at=NOW - timedelta(minutes=1), until=NOW + timedelta(seconds=1), reason="CUDA error."
)


def at(moment: datetime) -> str:
    return clock_time(moment, NOW)


def test_times_of_another_day_have_their_date() -> None:
    assert len(at(NOW)) == len("14:03:05")
    assert at(NOW - timedelta(days=2)).startswith("2026-01-29 ")


def test_only_now_decides_whether_the_breaker_lets_one_job_through() -> None:
    node = NodeFacts(node_id=1, name="alpha", state="READY", breaker=RESTING)
    facts = replace(WAITING, nodes=(node,))
    assert f"the breaker of alpha is open until {at(NOW + timedelta(seconds=1))}" in explain(facts).headline
    later = replace(facts, now=NOW + timedelta(seconds=2))
    assert "runs on alpha as a test" in explain(later).headline
    assert explain(later) == explain(later)


def test_a_job_that_waits_behind_others_still_says_what_holds_them_all() -> None:
    node = NodeFacts(node_id=1, name="alpha", state="READY", must_quiet=True)
    told = explain(replace(WAITING, ahead=1200, nodes=(node,)))
    assert told.headline.startswith("It waits behind 1,200 jobs, but alpha takes no job until")


def test_a_long_reason_of_a_crash_is_told_without_its_address_and_advice() -> None:
    reason = (
        "The WebUI failed while it worked on the request (stage txt2img, POST http://127.0.0.1:7860/sdapi, HTTP 500): "
        "CUDA error. Look at its log."
    )
    crash = EventFacts(
        EventType.CRASH_SUSPECTED, NOW, {"stage": "txt2img", "reason": reason, "restart": True}
    )
    facts = replace(WAITING, status="COMPLETED", retry_count=1, events=(crash,), images=1)
    [told] = explain(facts).reasons
    assert told.text == (
        f"Stage txt2img broke off at {at(NOW)}: The WebUI failed while it worked on the request: CUDA error."
    )


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"])
def test_bare_facts_are_still_told_in_a_sentence(status: str) -> None:
    told = explain(replace(WAITING, status=status))
    assert told.headline.endswith(".")
    assert "None" not in f"{told.headline} {told.reasons}"
