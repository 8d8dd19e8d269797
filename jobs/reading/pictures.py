"""One picture or film for the viewer, with what stands before and after it: in its job, then in the history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from jobs.lifecycle import JobStatus
from jobs.models import Job, OutputImage
from jobs.queue.filters import JobFilter
from jobs.queue.search import EARLIEST_END, LATEST_END, JobOrder, search_finished, step
from jobs.reading.lists import JobLine, job_lines
from jobs.reading.record_facts import facts_of_record, film_words
from jobs.running.outputs import file_of

#: As people look through them: the last stage first, because that is what the job was for.
ORDER = ("-stage_index", "image_index")
#: What the record says that a picture's own numbers do not.
FACTS_OF_PICTURE = (
    "Checkpoint",
    "Model",
    "VAE",
    "Input pictures",
    "Sampler",
    "Scheduler",
    "Steps",
    "CFG scale",
    "LoRAs",
    "Matrix",
)
#: Small pictures of the same job that stand before and behind the one that is shown.
STRIP = 24
#: Ended jobs to look at for one that has pictures.
LOOK_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class StripPicture:
    """One of the small pictures of the same job."""

    output_id: int
    stage: str
    image_number: int
    """From 1."""
    sha256: str
    is_film: bool

    @property
    def noun(self) -> str:
        return "film" if self.is_film else "picture"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The picture before or after; `job_id` says whether that is another job's."""

    output_id: int
    job_id: int
    sha256: str
    is_film: bool


@dataclass(frozen=True, slots=True)
class PictureDetail:
    output_id: int
    line: JobLine
    stage: str
    stage_number: int
    stage_total: int
    image_number: int
    width_px: int
    height_px: int
    size_bytes: int
    seed: int | None
    sha256: str
    infotext: str
    made_at: datetime
    node: str
    prompt: str
    facts: tuple[tuple[str, str], ...]
    place: int
    """Which of the job's pictures this is, from 1, of `total`."""
    total: int
    strip: tuple[StripPicture, ...]
    before: Neighbour | None
    after: Neighbour | None
    is_superseded: bool
    """The job started again after it was made, so it is no result any more."""
    is_gone: bool
    """Its file was moved or deleted on disk."""
    media_type: str
    """Of its file; "" for one that a browser is not to show."""
    frames: int | None
    """Of a film, as the two below; None for a picture."""
    fps: float | None
    duration_s: float | None

    @property
    def is_film(self) -> bool:
        return self.frames is not None

    @property
    def noun(self) -> str:
        return "film" if self.is_film else "picture"

    @property
    def film_facts(self) -> str:
        return film_words(self.frames, self.fps, self.duration_s)

    @property
    def may_become(self) -> bool:
        """Whether a film or an edit can be made of it."""
        is_result = self.line.status is JobStatus.COMPLETED and not self.is_superseded
        return is_result and not self.is_film and not self.is_gone

    @property
    def description(self) -> str:
        """For whoever cannot see it."""
        words = self.line.summary.positive_prompt_preview
        return f"{self.noun.capitalize()} {self.image_number} of {self.stage}: {words}"


def picture_detail(output_id: int, chosen: JobFilter) -> PictureDetail | None:
    """Everything about one picture in a constant number of queries; None when there is none.

    Its neighbours in other jobs are those of the history that match `chosen`.
    """
    rows = OutputImage.objects.select_related("job__record", "attempt__node")
    output = rows.filter(pk=output_id).first()
    if output is None:
        return None
    job = output.job
    record: dict[str, Any] = json.loads(job.record.canonical_json)
    siblings = list(
        _of_take(job, output.take).only("job_id", "stage", "stage_index", "image_index", "sha256", "frames")
    )
    path = file_of(output.path)
    place = [row.pk for row in siblings].index(output.pk)
    return PictureDetail(
        output_id=output.pk,
        line=job_lines([job])[0],
        stage=output.stage,
        stage_number=output.stage_index + 1,
        stage_total=sum(stage["enabled"] for stage in record["stage_chain"]),
        image_number=output.image_index + 1,
        width_px=output.width_px,
        height_px=output.height_px,
        size_bytes=output.size_bytes,
        seed=output.seed,
        sha256=output.sha256,
        infotext=output.infotext,
        made_at=output.created_at,
        node=output.attempt.node.name,
        prompt=record["positive_prompt"],
        facts=tuple(fact for fact in facts_of_record(record) if fact[0] in FACTS_OF_PICTURE),
        place=place + 1,
        total=len(siblings),
        strip=_strip(siblings, place),
        before=_beside(siblings, place - 1) or _of_other_job(job, chosen, EARLIEST_END),
        after=_beside(siblings, place + 1) or _of_other_job(job, chosen, LATEST_END),
        is_superseded=output.take != job.take,
        is_gone=not (path is not None and path.is_file()),
        media_type=output.media_type,
        frames=output.frames,
        fps=output.fps,
        duration_s=output.duration_s,
    )


def _of_take(job: Job, take: int) -> QuerySet[OutputImage]:
    return OutputImage.objects.filter(job_id=job.pk, take=take).order_by(*ORDER)


def _strip(siblings: Sequence[OutputImage], place: int) -> tuple[StripPicture, ...]:
    first = max(0, place - STRIP)
    return tuple(
        StripPicture(row.pk, row.stage, row.image_index + 1, row.sha256, row.is_film)
        for row in siblings[first : place + STRIP + 1]
    )


def _beside(siblings: Sequence[OutputImage], place: int) -> Neighbour | None:
    if not 0 <= place < len(siblings):
        return None
    row = siblings[place]
    return Neighbour(row.pk, row.job_id, row.sha256, row.is_film)


def _of_other_job(job: Job, chosen: JobFilter, order: JobOrder) -> Neighbour | None:
    """Of the next ended job that has pictures: its first one going down the history, its last one going up."""
    if job.finished_at is None:
        return None
    search = search_finished(chosen)
    results = OutputImage.objects.filter(job_id=OuterRef("pk"), take=OuterRef("take"))
    search = replace(search, rest=search.rest & Q(Exists(results)), rows=min(search.rows, LOOK_ROWS))
    found = step(search, order, order.key(job), size=1).jobs
    if not found:
        return None
    pictures = _of_take(found[0], found[0].take)
    shown = pictures.first() if order.descending else pictures.last()
    return Neighbour(shown.pk, shown.job_id, shown.sha256, shown.is_film) if shown is not None else None
