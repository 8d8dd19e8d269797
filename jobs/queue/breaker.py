"""The breaker of a node: after several jobs in a row that a crash ended, no claims there but a canary now and then.

Open means that a time stands in `Runner.breaker_until`; from then on one job may be tried at a time (the canary):
the node's one RUNNING job. Whatever ends it neither COMPLETED nor by a crash (rejected, cancelled, given back)
tells nothing about the node, so the time stays passed and the next canary may come at once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.conf import settings

from jobs.models import Runner

logger = logging.getLogger(__name__)

#: What the columns can hold (and far beyond the longest pause's number of doublings).
MOST = 32_767
REASON_LENGTH = 300


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """So many crashes in a row open it; each opening in a row doubles the pause before the next canary."""

    failures: int
    pause_s: float
    max_pause_s: float

    @classmethod
    def of_settings(cls) -> Self:
        return cls(
            failures=settings.STABLENEW_BREAKER_FAILURES,
            pause_s=settings.STABLENEW_BREAKER_PAUSE_S,
            max_pause_s=settings.STABLENEW_BREAKER_MAX_PAUSE_S,
        )

    def pause(self, opens: int) -> timedelta:
        """The pause after the `opens`-th opening in a row (1-based)."""
        # Ten doublings are a factor of a thousand; a float has an end.
        doublings = min(max(opens, 1) - 1, 10)
        return timedelta(seconds=min(self.pause_s * 2**doublings, self.max_pause_s))


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is stored about one node's crashes; each `after_...` is the next state, nothing is written."""

    crash_failures: int = 0
    opened_at: datetime | None = None
    until: datetime | None = None
    opens: int = 0
    reason: str = ""

    @classmethod
    def of(cls, runner: Runner) -> Self:
        return cls(
            crash_failures=runner.crash_failures,
            opened_at=runner.breaker_opened_at,
            until=runner.breaker_until,
            opens=runner.breaker_opens,
            reason=runner.breaker_reason,
        )

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None

    def may_claim(self, now: datetime) -> bool:
        """Closed, or a canary is due. That only one runs is the claim's own rule: one RUNNING job per node."""
        return not self.is_open or (self.until is not None and self.until <= now)

    def after_crash(self, reason: str, now: datetime, policy: BreakerPolicy) -> Self:
        """A job FAILED by a crash. While it is open that job was the canary, and one crash is enough."""
        failures = min(self.crash_failures + 1, MOST)
        if not self.is_open and failures < policy.failures:
            return replace(self, crash_failures=failures)
        opens = min(self.opens + 1, MOST)
        crashes = f"{failures} crashes in a row, the last" if failures > 1 else "A crash"
        what = "The job that was tried crashed as well" if self.is_open else crashes
        return replace(
            self,
            crash_failures=failures,
            opened_at=self.opened_at or now,
            until=now + policy.pause(opens),
            opens=opens,
            reason=f"{what}: {reason}"[:REASON_LENGTH],
        )

    def after_resume(self, now: datetime) -> Self:
        """A person wants one canary at once; an earlier time stays."""
        return replace(self, until=min(self.until or now, now)) if self.is_open else self

    def columns(self) -> dict[str, Any]:
        return {
            "crash_failures": self.crash_failures,
            "breaker_opened_at": self.opened_at,
            "breaker_until": self.until,
            "breaker_opens": self.opens,
            "breaker_reason": self.reason,
        }

    def as_json(self) -> dict[str, Any] | None:
        """For commands; None while it is closed."""
        if not self.is_open:
            return None
        return {
            "reason": self.reason,
            "opened_at": self.opened_at,
            "next_try_at": self.until,
            "opens": self.opens,
            "crash_failures": self.crash_failures,
        }


#: No crash counted, every claim allowed.
CLOSED = Breaker()


def is_open(runner: Runner) -> bool:
    return Breaker.of(runner).is_open


def note_crash_failure(runner_id: int, reason: str, now: datetime) -> bool:
    """A job of this node FAILED by a crash; True when that opened the breaker (again).

    Runs inside the caller's transaction, between the lock of the job and its move (lock order: Job, Runner,
    QueueControl). `reason` is shown to people: a sentence without a prompt.
    """
    runner = Runner.objects.select_for_update(of=("self",)).select_related("node").get(pk=runner_id)
    before = Breaker.of(runner)
    after = before.after_crash(reason, now, BreakerPolicy.of_settings())
    Runner.objects.filter(pk=runner_id).update(**after.columns())
    if after.until is None or after.until == before.until:
        return False
    logger.error(
        "Node %s takes no more jobs until %s UTC, when one is tried. %s",
        runner.node.name,
        after.until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        after.reason,
        extra={
            "event": "breaker.opened",
            "node": runner.node.name,
            "crash_failures": after.crash_failures,
            "opens": after.opens,
            "until": after.until,
        },
    )
    return True


def note_completed(runner: Runner) -> None:
    """A job of this node is COMPLETED: nothing is counted any more, the breaker closes.

    `runner` as the claim read it. No query while nothing was counted: only the node's own running job
    changes the count, so it is still as it was at the claim. Else as `note_crash_failure`, inside the
    caller's transaction.
    """
    before = Breaker.of(runner)
    if before == CLOSED:
        return
    Runner.objects.filter(pk=runner.pk).update(**CLOSED.columns())
    if before.is_open:
        logger.warning(
            "Node %s takes jobs again: the job that was tried is completed.",
            runner.node.name,
            extra={"event": "breaker.closed", "node": runner.node.name, "opens": before.opens},
        )


def try_now(runner_id: int, now: datetime) -> bool:
    """Let one canary be claimed at once; False when the breaker is closed. Inside the caller's transaction."""
    runner = Runner.objects.select_for_update(of=("self",)).filter(pk=runner_id).first()
    if runner is None or not is_open(runner):
        return False
    after = Breaker.of(runner).after_resume(now)
    return bool(Runner.objects.filter(pk=runner_id).update(breaker_until=after.until))
