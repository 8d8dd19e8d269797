"""The one place that asks the product's check: what came for a unit of work, and what the check says of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.truth.judge import came_of, judge, look_at_source
from jobs.truth.look import Look
from jobs.truth.outcomes import FieldOutcome, FieldVerdict
from jobs.truth.pixel_rules import Seen
from tests.truth.installation import Installation
from webui.errors import WebUIError
from webui.work.catalog import Catalog
from webui.work.pictures import Pictures
from webui.work.unit import Request, Work

REMEMBERED = 50
"""Pictures that the server gave lately, so that a stale one is known."""


@dataclass(frozen=True)
class Verdict:
    """What the check said of one answer. `refused`: why there is no answer to judge, "" where there is one."""

    rows: tuple[FieldOutcome, ...] = ()
    refused: str = ""
    pictures: tuple[bytes, ...] = ()
    seconds: float = 0.0
    """For looking at and judging all of its pictures."""

    def fields(self, outcome: FieldVerdict) -> list[str]:
        """Each name once, in order."""
        return list(dict.fromkeys(row.field for row in self.rows if row.outcome is outcome))

    @property
    def is_caught(self) -> bool:
        return bool(self.refused or self.fields(FieldVerdict.DRIFT))

    @property
    def sentences(self) -> list[str]:
        """What drifted, for a person."""
        return [
            f"{row.field}: asked {row.asked!r}, used {row.used!r}, says {row.by} ({row.why})"
            for row in self.rows
            if row.outcome is FieldVerdict.DRIFT
        ]


@dataclass
class Judge:
    """Sends work to one server and judges what comes, with what it remembers of it."""

    installation: Installation
    catalog: Catalog
    before: list[Seen] = field(default_factory=list)

    def ask(self, work: Work) -> Verdict:
        request = self.installation.driver.request(work)
        try:
            pictures = self.installation.server.send(request)
        except WebUIError as error:
            return Verdict(refused=f"{error.code}: {error.words[:100]}")
        started_at = time.perf_counter()
        rows = self._judged(work, request, pictures)
        return Verdict(rows, pictures=tuple(pictures), seconds=time.perf_counter() - started_at)

    def _judged(self, work: Work, request: Request, pictures: Sequence[bytes]) -> tuple[FieldOutcome, ...]:
        driver = self.installation.driver
        told = Pictures.of(pictures, getattr(pictures, "told", ())).told
        came = [came_of(driver, request, one, facts) for one, facts in zip(pictures, told, strict=True)]
        source = look_at_source(request)
        wishes = [wish_of(work, image, source) for image in work.images]
        judgements = judge(
            driver,
            request,
            came,
            catalog=self.catalog,
            source=source,
            before=self.before,
            wishes=wishes,
        )
        self.before = [
            *self.before,
            *(
                Seen(one.look.fingerprint, wish, f"request {work.task_id}")
                for one, wish in zip(came, wishes, strict=True)
            ),
        ][-REMEMBERED:]
        return tuple(row for judgement in judgements for row in judgement.fields)


def wish_of(work: Work, image: int, source: Look | None) -> str:
    """What decides how a picture looks: `jobs.running.judging` says the same of a job's."""
    if source is not None:
        return f"made from {source.fingerprint}"
    return f"{work.prompt}\n{work.negative_prompt}\n{work.seed} {work.subseed} {image}"
