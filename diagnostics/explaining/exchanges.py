"""What was sent for a job, request by request, and what came back, for a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.text import Truncator

from diagnostics.explaining.sent_requests import KeptPictures, RequestLostError, request_of
from jobs.errors import NotFoundError
from jobs.models import Job, OutputImage, StageAttempt, TruthCheck
from jobs.reading.timeline import AttemptLine, attempt_lines
from jobs.records.reading import AnyRecord, read_record
from jobs.truth.checks import newest_checks, outcomes_of
from jobs.truth.judge import Came, judge_settings
from jobs.truth.look import Look
from jobs.truth.outcomes import FieldOutcome, FieldVerdict
from webui.driver import Driver, driver_of
from webui.kinds import kind_of_stage, result_name
from webui.work.told import PictureFacts
from webui.work.unit import Request

#: Longest value of a field that is shown whole, in characters.
SHOWN_CHARS = 400
#: Fields that hold pictures in base64, alone or in a list.
PICTURE_FIELDS = frozenset({"init_images", "image", "mask"})


@dataclass(frozen=True, slots=True)
class SentField:
    """One key of the body; `size_bytes` is that of its JSON."""

    name: str
    value: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CameBack:
    """One result of an answer: the judgement of each setting, and what is told besides.

    `judged` False: it was not judged when it came, and its settings are judged now by its own text alone.
    """

    output_id: int
    name: str
    width_px: int
    height_px: int
    size_bytes: int
    fields: tuple[FieldOutcome, ...]
    besides: tuple[tuple[str, str], ...]
    judged: bool

    @property
    def drifts(self) -> int:
        return sum(field.outcome is FieldVerdict.DRIFT for field in self.fields)

    @property
    def not_told(self) -> int:
        return sum(field.outcome is FieldVerdict.NOT_TOLD for field in self.fields)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One POST. `missing` says why its body cannot be shown; then there are no fields."""

    line: AttemptLine
    endpoint: str
    fields: tuple[SentField, ...]
    size_bytes: int
    missing: str
    pictures: tuple[CameBack, ...]


def exchanges_of(job_id: int) -> tuple[Exchange, ...]:
    """In the order in which they were sent; four queries, and a file for each request of a later stage."""
    job = Job.objects.select_related("record").filter(pk=job_id).first()
    if job is None:
        raise NotFoundError(f"There is no job {job_id}. Its number may be mistyped.")
    record = read_record(job.record.canonical_json)
    attempts = list(StageAttempt.objects.filter(job_id=job_id).select_related("node").order_by("id"))
    outputs = list(OutputImage.objects.filter(job_id=job_id))
    checks = newest_checks(row.pk for row in outputs)
    kept = KeptPictures.of(outputs, job.take)
    return tuple(
        _exchange(
            record, attempt, line, kept, [row for row in outputs if row.attempt_id == attempt.pk], checks
        )
        for attempt, line in zip(attempts, attempt_lines(attempts), strict=True)
    )


def _exchange(
    record: AnyRecord,
    attempt: StageAttempt,
    line: AttemptLine,
    kept: KeptPictures,
    outputs: list[OutputImage],
    checks: Mapping[int, TruthCheck],
) -> Exchange:
    request: Request | None = None
    missing = ""
    driver = driver_of(attempt.node.driver)
    try:
        request = request_of(record, attempt, kept)
    except RequestLostError as exc:
        missing = str(exc)
    body: Mapping[str, Any] = request.body if request else {}
    return Exchange(
        line=line,
        endpoint=request.endpoint if request else "",
        fields=tuple(_sent(name, value) for name, value in body.items()),
        size_bytes=len(json.dumps(body)) if body else 0,
        missing=missing,
        pictures=tuple(_came_back(row, request, attempt, driver, checks.get(row.pk)) for row in outputs),
    )


def _sent(name: str, value: Any) -> SentField:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    size_bytes = len(json.dumps(value))
    if name in PICTURE_FIELDS:
        count = len(value) if isinstance(value, list) else 1
        text = "1 picture in base64" if count == 1 else f"{count} pictures in base64"
    return SentField(name, Truncator(text).chars(SHOWN_CHARS), size_bytes)


def _came_back(
    row: OutputImage, request: Request | None, attempt: StageAttempt, driver: Driver, check: TruthCheck | None
) -> CameBack:
    facts = PictureFacts(row.infotext, row.seed)
    fields = outcomes_of(check) if check else ()
    if check is None and request is not None:
        # A request for one picture carries its own seed; one for all counts up from picture to picture.
        place = row.image_index if attempt.image_index is None else 0
        fields = tuple(judge_settings(driver, request, place, Came(Look(), own=facts), None)[0])
    return CameBack(
        output_id=row.pk,
        name=result_name(kind_of_stage(row.stage), row.image_index + 1),
        width_px=row.width_px,
        height_px=row.height_px,
        size_bytes=row.size_bytes,
        fields=fields,
        besides=driver.told_besides(request, facts) if request is not None else (),
        judged=check is not None,
    )
