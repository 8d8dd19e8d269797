"""What a seeded database holds, before any row: how many of each, who submitted which pack when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.building.builder import BuildOptions, PackSource
from jobs.lifecycle import JobStatus, Priority
from tests.seed.packs import CHECKPOINTS, PACKS

#: How long the past goes back, and how long ago the first of the queue was submitted.
PAST = timedelta(days=90)
WAITING = timedelta(days=2)
#: Shares of the finished jobs.
FAILED_SHARE, CANCELLED_SHARE = 0.05, 0.02
#: Share of the failures, the latest ones, that nobody has run again yet.
ATTENTION_SHARE = 0.1
#: Shares of (smallest, largest) submissions.
SUBMISSION_SIZES = ((0.6, (20, 400)), (0.3, (400, 3_000)), (0.1, (3_000, 10_000)))
#: Rows of a pack that one submission takes at most.
MOST_ROWS = 8


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs; `failed` and `cancelled` are among the `finished`."""

    queued: int
    finished: int
    failed: int
    cancelled: int

    @classmethod
    def of(cls, queued: int, finished: int, failed: int | None = None) -> Sizes:
        """With the usual share of failures unless told. Raises ValueError if more failed than finished."""
        failed = int(finished * FAILED_SHARE) if failed is None else failed
        if failed > finished:
            raise ValueError(f"{failed:,} failed jobs cannot be among {finished:,} finished ones.")
        return cls(queued, finished, failed, min(finished - failed, int(finished * CANCELLED_SHARE)))

    @property
    def jobs(self) -> int:
        return self.queued + self.finished

    @property
    def completed(self) -> int:
        return self.finished - self.failed - self.cancelled


@dataclass(frozen=True, slots=True)
class Act:
    """One submission: `count` jobs of one revision of one pack; `user` is an index."""

    number: int
    source: PackSource
    user: int
    priority: Priority
    count: int
    options: BuildOptions


def choose_act(
    number: int, most: int, sources: Sequence[Sequence[PackSource]], users: int, rng: random.Random
) -> Act:
    """A submission of at most `most` jobs. Packs and people that stand first do most of the work."""
    smallest, largest = rng.choices(
        [sizes for _, sizes in SUBMISSION_SIZES], [part for part, _ in SUBMISSION_SIZES]
    )[0]
    revisions = sources[min(int(rng.expovariate(1 / 6)), len(sources) - 1)]
    source = rng.choice(revisions)
    return Act(
        number=number,
        source=source,
        user=min(int(rng.expovariate(1 / 1.5)), users - 1),
        priority=rng.choices((Priority.HIGH, Priority.NORMAL, Priority.LOW), (5, 85, 10))[0],
        count=min(most, rng.randint(smallest, largest)),
        options=_options(source, rng),
    )


def _options(source: PackSource, rng: random.Random) -> BuildOptions:
    chosen = rng.sample(CHECKPOINTS, rng.choice((1, 1, 2)))
    row_count = dict(PACKS)[source.pack_id]
    return BuildOptions(
        build_seed=rng.getrandbits(31),
        rows=tuple(sorted(rng.sample(range(row_count), min(row_count, MOST_ROWS)))),
        overrides={"txt2img.model": chosen[0]} if len(chosen) == 1 else {},
        sweeps={"txt2img.model": tuple(chosen)} if len(chosen) > 1 else {},
    )


class Ends:
    """Which of the finished jobs ended how: exact numbers in a random order."""

    def __init__(self, sizes: Sizes, rng: random.Random) -> None:
        self._rng = rng
        self._left = sizes.finished
        self._failed = sizes.failed
        self._cancelled = sizes.cancelled

    def next(self) -> JobStatus:
        chance = self._rng.random() * self._left
        self._left -= 1
        if chance < self._failed:
            self._failed -= 1
            return JobStatus.FAILED
        if chance < self._failed + self._cancelled:
            self._cancelled -= 1
            return JobStatus.CANCELLED
        return JobStatus.COMPLETED


@dataclass(frozen=True, slots=True)
class Clock:
    """When what happened: job `index` of the finished ones, and of the queue."""

    now: datetime
    sizes: Sizes

    def finished_at(self, index: int) -> datetime:
        # Whole milliseconds that are never 0: a time without a fraction would sort apart as text.
        left = (self.sizes.finished - index) / max(1, self.sizes.finished)
        at = self.now - timedelta(seconds=60) - PAST * left
        return at.replace(microsecond=(index % 999 + 1) * 1000)

    def queued_at(self, index: int) -> datetime:
        left = (self.sizes.queued - index) / max(1, self.sizes.queued)
        at = self.now - timedelta(seconds=30) - min(WAITING, PAST) * left
        return at.replace(microsecond=(index % 999 + 1) * 1000)
