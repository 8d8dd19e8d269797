"""The requests that were sent for a job, made again.

The body of a request is not stored: it is a pure function of the record, the picture before it and the task id,
so it is made again here, by the same code that made it for the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobs.errors import RecordChangedError
from jobs.models import OutputImage, StageAttempt
from jobs.records.reading import AnyRecord
from jobs.running.outputs import file_of
from jobs.running.requests import unit_at, work_of
from webui.driver import driver_of
from webui.work.unit import Request


class RequestLostError(LookupError):
    """A request that was sent cannot be made again; the words say why."""


@dataclass(frozen=True, slots=True)
class KeptPictures:
    """Pictures of the job by stage and index, for the requests that were made of them."""

    rows: Mapping[tuple[str, int], OutputImage]

    @classmethod
    def of(cls, outputs: Iterable[OutputImage], take: int) -> KeptPictures:
        return cls({(row.stage, row.image_index): row for row in outputs if row.take == take})

    def content(self, stage: str, image: int) -> bytes:
        """LookupError when the picture is gone."""
        row = self.rows.get((stage, image))
        if row is None:
            raise LookupError(f"the picture of {stage} that it was made from is not recorded")
        path = file_of(row.path)
        if path is None:
            raise LookupError(f"the picture of {stage} that it was made from lies outside the output folder")
        try:
            return path.read_bytes()
        except OSError as exc:
            raise LookupError(f"the picture of {stage} that it was made from is gone") from exc


def request_of(record: AnyRecord, attempt: StageAttempt, kept: KeptPictures) -> Request:
    """What that attempt sent. Its node must be loaded with it. Raises `RequestLostError`."""
    unit = unit_at(record, attempt.stage_index, attempt.image_index)
    if unit is None:
        raise RequestLostError("the record has no such stage")
    try:
        work = work_of(record, unit, kept.content, task_id=attempt.task_id)
        return driver_of(attempt.node.driver).request(work)
    except (LookupError, ValueError, OSError, RecordChangedError) as exc:
        raise RequestLostError(str(exc)) from exc
