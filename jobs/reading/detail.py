"""One job, told whole: what happened, its pictures, its time line, its record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from django.utils.dateparse import parse_datetime

from jobs.lifecycle import JobStatus, TruthVerdict
from jobs.models import Job, LifecycleEvent, OutputImage, Runner, StageAttempt
from jobs.reading.lineage import Lineage, lineage_of
from jobs.reading.lists import JobLine, job_lines
from jobs.reading.live import QueueProgress, progress_of
from jobs.reading.record_facts import facts_of_record, film_words
from jobs.reading.timeline import AttemptLine, TimelineEntry, attempt_lines, timeline
from jobs.records.record import sha256_text
from jobs.running.envelope import read_envelope
from jobs.truth.checks import load_checks, outcomes_of
from jobs.truth.outcomes import FieldOutcome, FieldVerdict
from webui.kinds import WorkKind, kind_of_stage, result_name, result_noun, server_noun
from webui.words import ServerNoun

#: Facts of an error that its message and the table of attempts have already.
TOLD_OF_ERROR = ("stage", "words", "elapsed_s")

#: Jobs that repeat one, told on its page.
RERUNS = 5
#: More than a runner ever writes, so that an event weighs more than any progress.
PROGRESS_WRITES = 10**9

#: Where words of a prompt come from, by the record's name of the source.
ORIGINS = {
    "global": "global prompt",
    "embeddings": "embeddings of the row",
    "matrix": "matrix",
    "row": "row of the pack",
    "loras": "LoRAs of the row",
    "pack": "settings of the pack",
    "override": "this submission",
}


@dataclass(frozen=True, slots=True)
class JobPicture:
    """A picture or a film; `media_type` "" is that of a file which a browser is not to show."""

    output_id: int
    image_index: int
    width_px: int
    height_px: int
    size_bytes: int
    seed: int | None
    sha256: str
    infotext: str
    media_type: str
    frames: int | None
    """Of a film, as the two below; None for a picture."""
    fps: float | None
    duration_s: float | None

    @property
    def is_film(self) -> bool:
        return self.frames is not None

    @property
    def film_facts(self) -> str:
        return film_words(self.frames, self.fps, self.duration_s)

    @property
    def description(self) -> str:
        """For whoever cannot see it."""
        return f"Film {self.image_index + 1}, {self.film_facts}"


@dataclass(frozen=True, slots=True)
class PictureTruth:
    """The newest judgement of one picture; drifts stand first."""

    stage: str
    number: int
    fields: tuple[FieldOutcome, ...]

    @property
    def title(self) -> str:
        """What was judged."""
        return f"{self.stage}, {result_name(kind_of_stage(self.stage), self.number)}"

    @property
    def drifts(self) -> int:
        return sum(one.outcome is FieldVerdict.DRIFT for one in self.fields)

    @property
    def not_told(self) -> int:
        return sum(one.outcome is FieldVerdict.NOT_TOLD for one in self.fields)


@dataclass(frozen=True, slots=True)
class StagePictures:
    stage: str
    stage_number: int
    pictures: tuple[JobPicture, ...]

    @property
    def is_film(self) -> bool:
        return any(picture.is_film for picture in self.pictures)


@dataclass(frozen=True, slots=True)
class PromptLayerLine:
    """Words of one source; `origin` says which, for people."""

    origin: str
    text: str


@dataclass(frozen=True, slots=True)
class PromptSide:
    """One side of the prompt: the text that is sent, and the layers that it was joined from."""

    name: str
    text: str
    layers: tuple[PromptLayerLine, ...]


@dataclass(frozen=True, slots=True)
class JobDetail:
    line: JobLine
    node_id: int
    node: str
    progress: QueueProgress | None
    rerun_of: int | None
    reruns: tuple[int, ...]
    """The newest jobs that repeat this one."""
    stages: tuple[StagePictures, ...]
    truths: tuple[PictureTruth, ...]
    """Of each judged picture; those that drifted stand first."""
    attempts: tuple[AttemptLine, ...]
    timeline: tuple[TimelineEntry, ...]
    prompts: tuple[PromptSide, ...]
    facts: tuple[tuple[str, str], ...]
    lineage: Lineage
    kind: str
    """What comes of it: pictures, a picture, or a film."""
    record_json: str
    record_sha256: str
    """Recomputed from the stored bytes."""
    stored_sha256: str
    error: dict[str, Any] | None
    version: str
    order: int
    """Only grows: an answer with a smaller one is a late one."""

    @property
    def tab_title(self) -> str:
        percent = self.progress.percent if self.progress else None
        done = "" if percent is None else f"{percent} % · "
        return f"{done}Job {self.line.id} {self.line.status.label.lower()} – StableNew"

    @property
    def truth_words(self) -> str:
        """The verdict on all results, in a sentence."""
        return _TRUTH_WORDS[self.line.truth].format(noun=result_noun(self.kind)) if self.line.truth else ""

    @property
    def server(self) -> ServerNoun:
        """What it is sent to."""
        return server_noun(self.kind)

    @property
    def makes(self) -> str:
        """What comes of it, in a word."""
        return result_noun(self.kind) if self.kind != WorkKind.IMAGE else "pictures"

    @property
    def remedy(self) -> str:
        """What to do about the error."""
        return str((self.error or {}).get("remediation", ""))

    @property
    def had_trouble(self) -> bool:
        """Something went wrong on the way, however it ended: the attempts tell what."""
        calm = (JobStatus.COMPLETED, JobStatus.RUNNING, JobStatus.CANCELLED)
        return bool(self.error or self.line.summary.retry_count) or any(
            attempt.status not in calm for attempt in self.attempts
        )

    @property
    def facts_of_error(self) -> tuple[tuple[str, str], ...]:
        """The envelope's context that the page does not say elsewhere, by name."""
        context = (self.error or {}).get("context", {})
        return tuple(
            (name.replace("_", " "), str(value))
            for name, value in context.items()
            if name not in TOLD_OF_ERROR and value not in (None, "", [], {})
        )

    @property
    def failed_at(self) -> datetime | None:
        return parse_datetime(str((self.error or {}).get("timestamp", "")))

    @property
    def record_intact(self) -> bool:
        return self.record_sha256 == self.stored_sha256


def job_version(job_id: int) -> str | None:
    """Changes whenever the job's page would; one query; None without such a job."""
    row = (
        Job.objects.filter(pk=job_id)
        .values_list("status", "last_sequence", "cancel_requested_at", "node__runner__progress_version")
        .first()
    )
    if row is None:
        return None
    status, last, cancel_at, progress = row
    moving = f"{progress}" if status == JobStatus.RUNNING else ""
    return f"{status}.{last}.{'c' if cancel_at else ''}.{moving}"


def job_detail(job_id: int) -> JobDetail | None:
    """Everything about one job in a constant number of queries; None when there is none."""
    version = job_version(job_id)
    job = Job.objects.select_related("record__revision__pack", "node__runner").filter(pk=job_id).first()
    if job is None or version is None:
        return None
    line = job_lines([job])[0]
    record: dict[str, Any] = json.loads(job.record.canonical_json)
    events = list(LifecycleEvent.objects.filter(job_id=job_id).order_by("sequence"))
    attempts = list(StageAttempt.objects.filter(job_id=job_id).select_related("node"))
    pictures = list(OutputImage.objects.filter(job_id=job_id, take=job.take))
    return JobDetail(
        line=line,
        node_id=job.node_id or 0,
        node=job.node.name if job.node else "",
        progress=progress_of(job, line) if job.status == JobStatus.RUNNING else None,
        rerun_of=job.rerun_of_id,
        reruns=tuple(job.reruns.order_by("-id").values_list("id", flat=True)[:RERUNS]),
        stages=_stages(pictures),
        truths=_truths(pictures),
        attempts=attempt_lines(attempts),
        timeline=timeline(events, attempts),
        prompts=_prompts(record),
        facts=facts_of_record(record),
        lineage=lineage_of(job, record),
        kind=job.kind,
        record_json=json.dumps(record, indent=2, ensure_ascii=False),
        record_sha256=sha256_text(job.record.canonical_json),
        stored_sha256=job.record.sha256,
        error=read_envelope(job.error) if job.status == JobStatus.FAILED else None,
        version=version,
        order=job.last_sequence * PROGRESS_WRITES + _progress_version(job) % PROGRESS_WRITES,
    )


def _progress_version(job: Job) -> int:
    runner: Runner | None = getattr(job.node, "runner", None)
    return runner.progress_version if runner and job.status == JobStatus.RUNNING else 0


def _prompts(record: dict[str, Any]) -> tuple[PromptSide, ...]:
    """Both sides, with which source gave which words; stages with prompts of their own stand last."""
    return tuple(
        PromptSide(
            name=side.capitalize(),
            text=record[f"{side}_prompt"],
            layers=tuple(
                [
                    PromptLayerLine(ORIGINS.get(layer["source"], layer["source"]), layer["text"])
                    for layer in record["prompt_layers"]
                    if layer["side"] == side and layer["text"]
                ]
                + [
                    PromptLayerLine(f"only in {one['stage']}", one[side])
                    for one in record.get("stage_prompts", ())
                    if one[side] is not None
                ]
            ),
        )
        for side in ("positive", "negative")
    )


def _stages(pictures: Sequence[OutputImage]) -> tuple[StagePictures, ...]:
    return tuple(
        StagePictures(
            stage=stage,
            stage_number=index + 1,
            pictures=tuple(
                JobPicture(
                    output_id=row.pk,
                    image_index=row.image_index,
                    width_px=row.width_px,
                    height_px=row.height_px,
                    size_bytes=row.size_bytes,
                    seed=row.seed,
                    sha256=row.sha256,
                    infotext=row.infotext,
                    media_type=row.media_type,
                    frames=row.frames,
                    fps=row.fps,
                    duration_s=row.duration_s,
                )
                for row in rows
            ),
        )
        for (index, stage), rows in groupby(pictures, key=lambda row: (row.stage_index, row.stage))
    )


_TRUTH_WORDS: Final = {
    TruthVerdict.VERIFIED: "A witness confirms every setting.",
    TruthVerdict.UNPROVEN: "Nothing contradicts, and not every setting is confirmed.",
    TruthVerdict.DRIFTED: "At least one {noun} is not what was asked for.",
}
_ORDER: Final = (FieldVerdict.DRIFT, FieldVerdict.NOT_TOLD, FieldVerdict.VERIFIED)


def _truths(pictures: Sequence[OutputImage]) -> tuple[PictureTruth, ...]:
    load_checks(pictures)
    found = [
        PictureTruth(
            row.stage,
            row.image_index + 1,
            tuple(sorted(outcomes_of(row.truth_check), key=lambda one: _ORDER.index(one.outcome))),
        )
        for row in pictures
        if row.truth_check is not None
    ]
    return tuple(sorted(found, key=lambda one: not one.drifts))
