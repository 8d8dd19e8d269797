"""One unit of a run: its request, the pictures that come of it, and what recovery asks meanwhile.

`UnitRun` is the job's side of `webui.recovery.recovery`: it writes the attempts, events and the one retry, and proves
the answer. In which order units run and how a job ends stands in `jobs.running.run`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jobs.errors import FencedError, RunError, UnusablePictureError
from jobs.lifecycle import EventType
from jobs.models import AttemptOutcome, OutputImage, StageAttempt
from jobs.queue.claims import Claim
from jobs.queue.holds import another_takes
from jobs.records.record import NormalizedJobRecord
from jobs.running.attempts import announce, charge_retry, end_attempt, outcome_of, start_attempt
from jobs.running.departures import CancelledRun, DrainedRun, KeptPictureChanged, NodeLostRun, StorageRun
from jobs.running.in_flight import InFlight
from jobs.running.judging import Judged, Judging
from jobs.running.outputs import WrittenPicture, give_result_names, output_root, read_kept
from jobs.running.own_machine import own_fault, storage_run, write_patiently
from jobs.running.progress import ProgressBoard
from jobs.running.requests import Unit, work_of
from jobs.running.sent_request import SentRequest
from jobs.running.stop_signals import StopSignals
from webui.books import surely
from webui.driver import Server
from webui.errors import (
    WebUIBadAnswerError,
    WebUIError,
)
from webui.evidence.failure_artifacts import FailureEvidence
from webui.recovery.hooks import Sending
from webui.work.pictures import Pictures
from webui.work.told import PictureFacts

logger = logging.getLogger(__name__)

#: How often a run that waits reads what people want of it; the wait itself asks more often.
READ_EVERY_S = 0.25


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
    record: NormalizedJobRecord
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


class UnitRun:
    """Sends one unit, as often as policy and budget allow; `attempt` is the one under way or ended last."""

    attempt: StageAttempt
    _sending: Sending

    def __init__(self, work: RunState, unit: Unit, *, first_of_stage: bool, first_of_run: bool) -> None:
        self._work = work
        self._unit = unit
        self._announce = first_of_stage
        # The claim has just looked whether anybody wants the job stopped.
        self._unasked = first_of_run
        self._read_at = 0.0
        self._waiting_since = 0.0
        self._reason = ""
        claim = work.claim
        place = f"{claim.job_id}-{unit.stage_index}-{unit.image_indexes[0]}"
        self.task_id = f"stablenew-{place}-{claim.run_token.hex[:8]}"
        # The same for every attempt of a run.
        self.request = work.server.driver.request(
            work_of(work.record, unit, self._picture, task_id=self.task_id)
        )
        self.evidence = FailureEvidence(self.request, work.directory, claim.node_id)

    def _picture(self, stage: str, image: int) -> bytes:
        return self._work.kept[stage, image].content

    # --- what recovery asks (webui.recovery.hooks.RecoveryHooks) -----------------------------------

    def send(self, sending: Sending) -> list[Kept]:
        """One POST: its attempt is committed before; its pictures are on disk and proved when this returns.

        They become results when the run accepts them.
        """
        self._begin(sending)
        unit, work = self._unit, self._work
        try:
            pictures = work.in_flight.send(self.request, unit, self._keep_partial)
            told = pictures.told if isinstance(pictures, Pictures) else Pictures.of(pictures).told
            judging = self._judging(pictures, told)
            written = [
                self._write(image, one) for image, one in zip(unit.image_indexes, pictures, strict=True)
            ]
            work.in_flight.confirm(self.request)
            judged = judging.judged()
            rows = map(self._row, unit.image_indexes, give_result_names(written), judged, told)
            kept = [Kept(row, content, one) for row, content, one in zip(rows, pictures, judged, strict=True)]
        except FencedError:
            raise
        except WebUIError as exc:
            if (own := own_fault(exc)) is not None:
                surely(end_attempt, self.attempt, AttemptOutcome.DRAINED, reason=str(own))
                raise own from exc
            raise self.evidence.redact(exc) from exc.__cause__
        except UnusablePictureError as exc:
            error = WebUIBadAnswerError(
                str(exc), endpoint=self.request.endpoint, method="POST", stage=self.request.stage, status=200
            )
            raise self.evidence.redact(error) from None
        except (CancelledRun, DrainedRun, RunError, StorageRun) as exc:
            # Whatever else may come up ends the run, which closes what it has left open.
            surely(end_attempt, self.attempt, outcome_of(exc), reason=str(exc))
            raise
        return kept

    def _begin(self, sending: Sending) -> None:
        self._sending = sending
        if not self._unasked:
            self._work.signals.check()
        self._unasked = False
        if sending.generation != self._work.claim.node.generation:
            self._follow_node()
        self.attempt = start_attempt(
            self._work.claim,
            self._unit,
            run_number=self._work.number,
            task_id=self.task_id,
            announce=self._announce,
            attempt_index=sending.attempt,
            max_attempts=sending.max_attempts,
            wait_s=sending.wait_s,
        )
        self._announce = False

    def failed(self, error: WebUIError, *, again: bool) -> None:
        paths: Sequence[Path] = ()
        if not again:
            sending = self._sending
            paths = self.evidence.write(error, attempt=sending.attempt, generation=sending.generation)
        self._reason = str(error)
        surely(
            end_attempt,
            self.attempt,
            # Also a request that never left a WebUI which is starting: the same execution goes on.
            AttemptOutcome.TRANSIENT if again else outcome_of(error),
            reason=self._reason,
            http_status=error.status,
            artifact_paths=relative(paths),
        )

    @property
    def sent(self) -> SentRequest:
        claim, keys = self._work.claim, self.request.vocabulary.keys
        return SentRequest(
            job_id=claim.job_id,
            stage=self.request.stage,
            attempt=self._sending.attempt,
            node=claim.node.name,
            payload_keys=tuple(key for key in self.request.body if key in keys),
        )

    def crash_suspected(self, error: WebUIError, *, restart: bool) -> bool:
        sent = self.sent
        data = {
            "stage": sent.stage,
            "attempt": sent.attempt,
            "error_code": error.code,
            "error_type": type(error).__name__,
            "http_status": error.status,
            "reason": self._reason,
            "payload_keys": list(sent.payload_keys),
            "restart": restart,
            "generation": self._sending.generation,
            "artifacts": relative(self.evidence.newest),
        }
        granted = surely(charge_retry, self._work.claim, self.attempt, data)
        if granted:
            sent.tell(EventType.CRASH_SUSPECTED, error.code, self._reason)
        self._waiting_since = time.monotonic()
        return granted

    def leftover_is_over(self) -> bool:
        work = self._work
        try:
            return work.server.end_leftover(self.task_id, alone=work.claim.node.managed)
        except WebUIError as exc:
            logger.info("The WebUI does not say whether %s is over: %s", self.task_id, exc)
            return False

    def waiting(self) -> Literal[True]:
        """Raises what people want instead of waiting on: a cancel counts at once."""
        now = time.monotonic()
        if now - self._read_at >= READ_EVERY_S:
            self._read_at = now
            self._work.signals.check()
            self._work.board.show_waiting(self._unit, "the WebUI")
            self._leave_to_another_node()
        return True

    def _leave_to_another_node(self) -> None:
        """A server of others comes back when its owner likes. A node of ours is being restarted, and keeps what it has
        crashed on: no job shall take one WebUI after the other with it.
        """
        node = self._work.claim.node
        if not node.managed and surely(another_takes, self._work.claim.job, node):
            raise NodeLostRun(f"{node.name} does not answer, and another node is free")

    def restarted(self, generation: int) -> None:
        self._follow_node()
        work = self._work
        waited_s = round(time.monotonic() - self._waiting_since, 1)
        # A server of others that nobody could restart goes on as the generation that got the request.
        data = {
            "generation": generation,
            "waited_s": waited_s,
            "node": work.claim.node.name,
            "restarted": generation > self._sending.generation,
        }
        surely(announce, work.claim, EventType.WEBUI_RESTARTED, data)

    def _follow_node(self) -> None:
        """The node has another boot: what is asked, sent or written from now on means that one."""
        node = self._work.claim.node
        surely(node.refresh_from_db)
        self._work.server.base_url = node.base_url

    def retry_started(self) -> None:
        """Raises `KeptPictureChanged` where the retry cannot go on from what the run has."""
        self._work.number += 1
        self._work.prove_kept()
        begin_retry(self._work, stage=self._unit.stage.stage, from_stage_1=False)

    # --- the answer --------------------------------------------------------------------------------

    def _write(self, image: int, content: bytes) -> WrittenPicture:
        unit, work = self._unit, self._work
        stem = f"{unit.stage_index + 1}-{unit.stage.stage}-{image:03d}-run{work.number}"
        return write_patiently(work.directory, stem, content)

    def _judging(self, pictures: Sequence[bytes], told: Sequence[PictureFacts]) -> Judging:
        unit, work = self._unit, self._work
        source = None
        if unit.image_index is not None:
            stage = work.record.enabled_stages[unit.stage_index - 1].stage
            judged = work.kept[stage, unit.image_index].judged
            source = judged.look if judged else None
        return Judging(
            claim=work.claim,
            record=work.record,
            unit=unit,
            driver=work.server.driver,
            request=self.request,
            source=source,
            pictures=pictures,
            told=told,
        )

    def _row(self, image: int, written: WrittenPicture, judged: Judged, told: PictureFacts) -> OutputImage:
        unit, work = self._unit, self._work
        facts = judged.own.completed_by(told)
        return OutputImage(
            job_id=work.claim.job_id,
            attempt=self.attempt,
            stage=unit.stage.stage,
            stage_index=unit.stage_index,
            image_index=image,
            take=work.claim.job.take,
            path=written.path,
            sha256=written.sha256,
            size_bytes=written.size_bytes,
            width_px=written.width_px,
            height_px=written.height_px,
            seed=facts.seed,
            infotext=facts.infotext,
        )

    def _keep_partial(self, pictures: Sequence[bytes]) -> None:
        """Half-made pictures of a stopped request stay on disk for the curious; they have no row."""
        for image, content in zip(self._unit.image_indexes, pictures, strict=False):
            try:
                self._write(image, content)
            except (OSError, UnusablePictureError) as exc:
                logger.info("A partial picture was not kept: %s", exc)


def begin_retry(work: RunState, *, stage: str, from_stage_1: bool) -> None:
    """The granted retry goes off: from here on a failure is the last one."""
    work.retry_begun = True
    data = {"stage": stage, "run_number": work.number, "from_stage_1": from_stage_1}
    surely(announce, work.claim, EventType.RETRY_STARTED, data)


def relative(paths: Sequence[Path]) -> list[str]:
    """As the database keeps them: relative to the output folder."""
    return [str(path.relative_to(output_root())) for path in paths]
