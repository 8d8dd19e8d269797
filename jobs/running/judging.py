"""The truth check of one answer: its pictures are looked at in a thread while they are written, and judged after."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings

from jobs.lifecycle import TruthPolicy
from jobs.queue.claims import Claim
from jobs.queue.fitness import recompute_lacks
from jobs.records.reading import AnyRecord
from jobs.running.in_flight import BackgroundCall
from jobs.running.requests import Unit
from jobs.truth.judge import Came, came_of, judge, look_at_source
from jobs.truth.look import Look
from jobs.truth.outcomes import Judgement
from jobs.truth.pixel_rules import is_made_of_inputs
from jobs.truth.policy import refusal_of
from jobs.truth.seen import given_before, remember
from webui.books import surely
from webui.driver import Driver
from webui.nodes.catalogs import catalog_of_boot, note_unusable, want_catalog
from webui.work.catalog import Thing
from webui.work.told import PictureFacts
from webui.work.unit import Request

UPSCALERS: Final = (Thing.UPSCALER, Thing.HIRES_UPSCALER)


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture that may become a result."""

    judgement: Judgement
    look: Look
    own: PictureFacts


@dataclass(frozen=True, slots=True)
class _Looks:
    came: tuple[Came, ...]
    source: Look | None


@dataclass(slots=True)
class Judging:
    """Begins to look when it is made; `judged` waits for that.

    `source` is what was seen of the picture that the request was made from, None where nobody has looked at it yet.
    """

    claim: Claim
    record: AnyRecord
    unit: Unit
    driver: Driver
    request: Request
    source: Look | None
    pictures: Sequence[bytes]
    told: Sequence[PictureFacts]
    _looking: BackgroundCall[_Looks] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if len(self.pictures) == 0:
            return
        try:
            self._looking = BackgroundCall(self._look, name=f"look-{self.request.task_id}")
        except OSError:
            # No thread is to be had: then it is looked at when it is judged.
            self._looking = None

    def judged(self) -> tuple[Judged, ...]:
        """Raises `WebUIError` where the pictures cannot be results."""
        looks = self._looking.wait() if self._looking is not None else self._look()
        node = self.claim.node
        # The lists of an earlier boot prove nothing of what this one drew.
        catalog = surely(catalog_of_boot, node, node.generation)
        wishes = [self._wish(image, looks.source) for image in self.unit.image_indexes]
        judgements = judge(
            self.driver,
            self.request,
            looks.came,
            catalog=catalog,
            source=looks.source,
            before=given_before(node.pk, but_for=self.claim.job_id),
            wishes=wishes,
        )
        because = next(filter(None, (one.contradicts for one in judgements)), "")
        if because:
            surely(want_catalog, node.pk, f"job {self.claim.job_id}: {because}")
        only_resized = {one.asked for judgement in judgements for one in judgement.drifts if one.only_resized}
        for asked in only_resized:
            why = f"job {self.claim.job_id} was only resized there: its weights are missing"
            surely(note_unusable, node, UPSCALERS, asked, why)
        if only_resized:
            # Else the whole queue would be only resized there.
            surely(recompute_lacks, node.pk)
        policy = TruthPolicy(self.claim.job.truth_policy or settings.STABLENEW_TRUTH)
        error = refusal_of(judgements, policy, self.request, self.driver, catalog)
        if error is not None:
            raise error
        for one, wish in zip(looks.came, wishes, strict=True):
            remember(node.pk, self.claim.job_id, one.look.fingerprint, wish)
        return tuple(
            Judged(judgement, one.look, one.own)
            for judgement, one in zip(judgements, looks.came, strict=True)
        )

    def _look(self) -> _Looks:
        came = (
            came_of(self.driver, self.request, content, told)
            for content, told in zip(self.pictures, self.told, strict=True)
        )
        return _Looks(tuple(came), self.source or look_at_source(self.request))

    def _wish(self, image: int, source: Look | None) -> str:
        """What decides how a picture looks; two requests that differ in it never give the same one."""
        if is_made_of_inputs(self.request):
            # The negative prompt is not used where the CFG scale is 1.
            words = " ".join(self.record.positive_prompt.split())
            made_of = "\n".join([*(one.sha256 for one in self.record.inputs), words])
            return f"{hashlib.sha256(made_of.encode()).hexdigest()} {self.record.seed}"
        if source is not None:
            return f"made from {source.fingerprint}"
        words = "\n".join(" ".join(side.split()) for side in self.record.prompts_of(self.unit.stage.stage))
        return (
            f"{hashlib.sha256(words.encode()).hexdigest()} {self.record.seed} {self.record.subseed} {image}"
        )
