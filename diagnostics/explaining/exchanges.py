"""What was sent for a job, request by request, and what came back, for a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.text import Truncator

from diagnostics.explaining.sent_requests import KeptPictures, RequestLostError, request_of
from jobs.errors import NotFoundError
from jobs.models import Job, OutputImage, StageAttempt
from jobs.reading.timeline import AttemptLine, attempt_lines
from jobs.records.record import NormalizedJobRecord
from webui.driver import Driver, driver_of
from webui.work.told import UsedField

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
    """One picture of an answer. `used` is empty where nothing was sampled or the picture tells nothing."""

    output_id: int
    number: int
    width_px: int
    height_px: int
    size_bytes: int
    used: tuple[UsedField, ...]

    @property
    def differences(self) -> int:
        return sum(field.differs for field in self.used)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One POST. `missing` says why its body cannot be shown; then there are no fields."""

    line: AttemptLine
    endpoint: str
    fields: tuple[SentField, ...]
    size_bytes: int
    missing: str
    pictures: tuple[CameBack, ...]

    @property
    def differences(self) -> int:
        return sum(picture.differences for picture in self.pictures)


def exchanges_of(job_id: int) -> tuple[Exchange, ...]:
    """In the order in which they were sent; three queries, and a file for each request of a later stage."""
    job = Job.objects.select_related("record").filter(pk=job_id).first()
    if job is None:
        raise NotFoundError(f"There is no job {job_id}. Its number may be mistyped.")
    record = NormalizedJobRecord.model_validate_json(job.record.canonical_json)
    attempts = list(StageAttempt.objects.filter(job_id=job_id).select_related("node").order_by("id"))
    outputs = list(OutputImage.objects.filter(job_id=job_id))
    kept = KeptPictures.of(outputs, job.take)
    return tuple(
        _exchange(record, attempt, line, kept, [row for row in outputs if row.attempt_id == attempt.pk])
        for attempt, line in zip(attempts, attempt_lines(attempts), strict=True)
    )


def _exchange(
    record: NormalizedJobRecord,
    attempt: StageAttempt,
    line: AttemptLine,
    kept: KeptPictures,
    outputs: list[OutputImage],
) -> Exchange:
    body: Mapping[str, Any] = {}
    endpoint, missing = "", ""
    driver = driver_of(attempt.node.driver)
    try:
        request = request_of(record, attempt, kept)
        body, endpoint = request.body, request.endpoint
    except RequestLostError as exc:
        missing = str(exc)
    return Exchange(
        line=line,
        endpoint=endpoint,
        fields=tuple(_sent(name, value) for name, value in body.items()),
        size_bytes=len(json.dumps(body)) if body else 0,
        missing=missing,
        pictures=tuple(_came_back(row, body, attempt, driver) for row in outputs),
    )


def _sent(name: str, value: Any) -> SentField:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    size_bytes = len(json.dumps(value))
    if name in PICTURE_FIELDS:
        count = len(value) if isinstance(value, list) else 1
        text = "1 picture in base64" if count == 1 else f"{count} pictures in base64"
    return SentField(name, Truncator(text).chars(SHOWN_CHARS), size_bytes)


def _came_back(row: OutputImage, body: Mapping[str, Any], attempt: StageAttempt, driver: Driver) -> CameBack:
    # A request for one picture carries its own seed; one for all counts up from picture to picture.
    place = row.image_index if attempt.image_index is None else 0
    return CameBack(
        output_id=row.pk,
        number=row.image_index + 1,
        width_px=row.width_px,
        height_px=row.height_px,
        size_bytes=row.size_bytes,
        used=driver.settings_used(body, row.infotext, place),
    )
