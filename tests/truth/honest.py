"""Varied honest results, judged: every drift among them is a false alarm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from jobs.truth.outcomes import FieldVerdict
from tests.truth.installation import Installation, Say
from tests.truth.judging import Judge, Verdict
from tests.truth.orders import Chance
from webui.work.unit import Work

STRETCH = 40
"""After so many requests the server sends another format, and its lists are read again."""
FORMATS = ("png", "png", "jpg", "webp")


@dataclass
class Tally:
    """What came of an honest run."""

    dialect: str
    requests: Counter[str] = field(default_factory=Counter)
    """By stage."""
    pictures: int = 0
    unproven: Counter[str] = field(default_factory=Counter)
    """Settings that nobody told, by their first word, over all answers."""
    false_alarms: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Per picture."""

    def count(self, work: Work, verdict: Verdict) -> None:
        self.requests[work.stage] += 1
        self.pictures += len(verdict.pictures)
        self.unproven.update(name.split()[0] for name in verdict.fields(FieldVerdict.NOT_TOLD))
        if verdict.pictures:
            self.seconds.append(verdict.seconds / len(verdict.pictures))
        if verdict.is_caught:
            words = "; ".join(filter(None, [verdict.refused, *verdict.sentences]))
            self.false_alarms.append(f"{work.task_id} ({work.stage}, {work.parameters!r}): {words}")

    def lines(self) -> list[str]:
        """For people."""
        stages = ", ".join(f"{name} {count}" for name, count in sorted(self.requests.items()))
        per_picture = 1000 * median(self.seconds or [0.0])
        unproven = ", ".join(f"{name} {count}" for name, count in self.unproven.most_common(12))
        return [
            f"{self.dialect}: {self.requests.total()} answers ({stages}), {self.pictures} pictures judged, "
            f"{len(self.false_alarms)} false alarms, {per_picture:.2f} ms per picture (median)",
            f"  not told: {unproven or 'nothing'}",
            *(f"  FALSE ALARM {alarm}" for alarm in self.false_alarms[:10]),
        ]


def run(dialect: str, count: int, seed: int, folder: Path, say: Say) -> Tally:
    """`count` honest requests to one simulator; the same seed asks for the same."""
    tally = Tally(dialect)
    rng = Random(f"{seed}:{dialect}")
    with Installation(dialect, folder) as installation:
        judge = Judge(installation, installation.catalog())
        chance = Chance(rng, judge.catalog)
        for number in range(count):
            if number % STRETCH == 0:
                installation.send_pictures_as(rng.choice(FORMATS))
                judge.catalog = chance.catalog = installation.catalog()
            work = chance.work()
            verdict = judge.ask(work)
            tally.count(work, verdict)
            chance.keep(verdict.pictures)
            if (number + 1) % 500 == 0:
                say(f"{dialect}: {number + 1} of {count}, {len(tally.false_alarms)} false alarms")
    return tally
