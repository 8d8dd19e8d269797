"""What the units of one run share: the record, the server, and the results that the job has by now."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from jobs.lifecycle import EventType
from jobs.models import OutputImage
from jobs.queue.claims import Claim
from jobs.records.reading import AnyRecord
from jobs.running.attempts import announce
from jobs.running.departures import KeptPictureChanged
from jobs.running.in_flight import InFlight
from jobs.running.judging import Judged
from jobs.running.outputs import output_root, read_kept
from jobs.running.own_machine import storage_run
from jobs.running.progress import ProgressBoard
from jobs.running.requests import Unit
from jobs.running.stop_signals import StopSignals
from webui.books import surely
from webui.driver import Server


@dataclass(frozen=True, slots=True)
class Kept:
    """An accepted picture of this job: the row, and the very bytes, which later stages send on."""

    row: OutputImage
    content: bytes
    judged: Judged | None = None
    """None: an earlier run has judged it."""


@dataclass(slots=True)
class RunState:
    """What the units of one run share. `number` counts the executions of the job, 1-based."""

    claim: Claim
    record: AnyRecord
    stages: tuple[tuple[Unit, ...], ...]
    server: Server
    signals: StopSignals
    board: ProgressBoard
    in_flight: InFlight
    directory: Path
    number: int
    kept: dict[tuple[str, int], Kept] = field(default_factory=dict)
    retry_begun: bool = False
    """The job's one retry is under way."""

    def read_kept(self) -> None:
        """The accepted pictures of earlier runs. Raises `KeptPictureChanged`."""
        rows = OutputImage.objects.filter(job_id=self.claim.job_id, take=self.claim.job.take)
        for row in rows:
            self.kept[row.stage, row.image_index] = Kept(row, _unchanged(row))

    def prove_kept(self) -> None:
        """Before a retry builds upon them: the files are still those that were accepted."""
        for kept in self.kept.values():
            _unchanged(kept.row)


def _unchanged(row: OutputImage) -> bytes:
    try:
        content = read_kept(row)
    except OSError as exc:
        raise storage_run(exc, output_root()) from exc
    if content is None:
        raise KeptPictureChanged(row.path)
    return content


def begin_retry(work: RunState, *, stage: str, from_stage_1: bool) -> None:
    """The granted retry goes off: from here on a failure is the last one."""
    work.retry_begun = True
    data = {"stage": stage, "run_number": work.number, "from_stage_1": from_stage_1}
    surely(announce, work.claim, EventType.RETRY_STARTED, data)
