"""One unit of a run: its request, the pictures that come of it, and what recovery asks meanwhile.

`UnitRun` is the job's side of `webui.recovery.recovery`: it keeps the books (attempts, events, the one retry)
and proves the answer. In which order units run and how a job ends stands in `jobs.running.run`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from jobs.errors import (
    CancelledRun,
    DrainedRun,
    FencedError,
    KeptPictureChanged,
    RunError,
    UnusablePictureError,
)
from jobs.lifecycle import EventType
from jobs.models import AttemptOutcome, OutputImage, StageAttempt
from jobs.queue.claims import Claim
from jobs.records.record import NormalizedJobRecord
from jobs.running.attempts import announce, charge_retry, end_attempt, insist, start_attempt
from jobs.running.in_flight import InFlight
from jobs.running.outputs import output_root, read_kept, write_picture
from jobs.running.progress import ProgressBoard
from jobs.running.requests import Unit, checkpoint_of, unit_request
from jobs.running.stop_signals import StopSignals
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.infotext import parse_infotext, read_infotext
from webui.drivers.a1111.schemas import (
    ExtraSingleImageRequest,
    ExtraSingleImageResponse,
    GenerationResponse,
    Img2ImgRequest,
    Txt2ImgRequest,
)
from webui.errors import (
    UnknownCheckpointError,
    WebUIBadAnswerError,
    WebUIError,
    WebUIRejectedError,
    WebUIServerError,
    WebUITransientError,
    WebUIUnavailableError,
)
from webui.recovery.hooks import Evidence, Sending

logger = logging.getLogger(__name__)

Payload = Txt2ImgRequest | Img2ImgRequest | ExtraSingleImageRequest
Answer = GenerationResponse | ExtraSingleImageResponse

#: How often a run that waits reads what people want of it; the wait itself asks more often.
READ_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Kept:
    """An accepted picture of this job: the row, and the very bytes, which later stages send on."""

    row: OutputImage
    content: bytes


@dataclass(slots=True)
class Work:
    """What the units of one run share. `number` counts the executions of the job, 1-based."""

    claim: Claim
    record: NormalizedJobRecord
    client: WebUIClient
    orders: StopSignals
    board: ProgressBoard
    exchange: InFlight
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
    content = read_kept(row)
    if content is None:
        raise KeptPictureChanged(row.path)
    return content


class UnitRun:
    """Sends one unit, as often as policy and budget allow; `attempt` is the one under way or ended last."""

    attempt: StageAttempt

    def __init__(self, work: Work, unit: Unit, *, first_of_stage: bool, first_of_run: bool) -> None:
        self._work = work
        self._unit = unit
        self._announce = first_of_stage
        # The claim has just looked whether anybody wants the job stopped.
        self._unasked = first_of_run
        self._read_at = 0.0
        self._waiting_since = 0.0
        place = f"{work.claim.job_id}-{unit.stage_index}-{unit.image_indexes[0]}"
        self.task_id = f"stablenew-{place}-{work.claim.run_token.hex[:8]}"

    def payload(self) -> Payload:
        """The body of this unit's request; the same for every attempt of a run."""
        kept = self._work.kept

        def picture_of(stage: str, image: int) -> bytes:
            return kept[stage, image].content

        return unit_request(self._work.record, self._unit, picture_of, task_id=self.task_id)

    # --- what recovery asks (webui.recovery.recovery.RecoveryHooks) -----------------------------------------

    def before_send(self, sending: Sending) -> None:
        if not self._unasked:
            self._work.orders.check()
        self._unasked = False
        if sending.generation != self._work.claim.node_generation:
            self._follow_node()
        start = partial(
            start_attempt,
            self._work.claim,
            self._unit,
            run_number=self._work.number,
            task_id=self.task_id,
            announce=self._announce,
            attempt_index=sending.attempt,
            max_attempts=sending.max_attempts,
            wait_s=sending.wait_s,
        )
        self.attempt = insist(start)
        self._announce = False

    def perform(self, post: Callable[[], Answer]) -> list[Kept]:
        """The pictures, on disk and proved; they become results when the run accepts them."""
        unit = self._unit
        try:
            pictures = self._work.exchange.send(
                unit, self.task_id, lambda: self._checked(post()), self._keep_partial
            )
            kept = [
                Kept(self._keep(image, content), content)
                for image, content in zip(unit.image_indexes, pictures, strict=True)
            ]
            self._work.exchange.confirm(unit)
        except (WebUIError, FencedError):
            raise
        except UnusablePictureError as exc:
            raise WebUIBadAnswerError(
                str(exc), endpoint=unit.endpoint, method="POST", stage=unit.stage.stage, status=200
            ) from exc
        except (CancelledRun, DrainedRun, RunError, OSError) as exc:
            # Whatever else may come up ends the run, which closes what it has left open.
            insist(partial(end_attempt, self.attempt, outcome_of(exc), reason=str(exc)))
            raise
        return kept

    def failed(self, error: WebUIError, artifact_paths: Sequence[Path], *, again: bool) -> None:
        insist(
            partial(
                end_attempt,
                self.attempt,
                # Also a request that never left a WebUI which is starting: the same execution goes on.
                AttemptOutcome.TRANSIENT if again else outcome_of(error),
                reason=str(error),
                http_status=error.status,
                artifact_paths=relative(artifact_paths),
            )
        )

    def crash_suspected(self, evidence: Evidence) -> bool:
        error = evidence.error
        data = {
            "stage": evidence.stage,
            "attempt": evidence.attempt,
            "error_code": error.code,
            "error_type": type(error).__name__,
            "http_status": error.status,
            "reason": str(error),
            "payload_keys": list(evidence.payload_keys),
            "restart": evidence.restart,
            "generation": evidence.generation,
            "artifacts": relative(evidence.artifact_paths),
        }
        granted = insist(partial(charge_retry, self._work.claim, self.attempt, data))
        if granted:
            logger.warning(
                "Job %s gets its one retry after: %s",
                self._work.claim.job_id,
                error,
                extra={"event": "job.retry_granted", "job_id": self._work.claim.job_id, "code": error.code},
            )
        self._waiting_since = time.monotonic()
        return granted

    def waiting(self) -> bool:
        """Raises what people want instead of waiting on: a cancel counts at once."""
        now = time.monotonic()
        if now - self._read_at >= READ_EVERY_S:
            self._read_at = now
            self._work.orders.lease.start()
            self._work.orders.check()
            self._work.board.show_waiting(self._unit, "the WebUI")
        return True

    def restarted(self, generation: int) -> None:
        self._follow_node()
        work = self._work
        waited_s = round(time.monotonic() - self._waiting_since, 1)
        data = {"generation": generation, "waited_s": waited_s, "node": work.claim.node.name}
        insist(partial(announce, work.claim, EventType.WEBUI_RESTARTED, data))

    def _follow_node(self) -> None:
        """The node has another boot: what is asked, sent or written from now on means that one."""
        node = self._work.claim.node
        node.refresh_from_db()
        self._work.client.base_url = node.base_url

    def retry_started(self) -> None:
        """Raises `KeptPictureChanged` where the retry cannot go on from what the run has."""
        self._work.number += 1
        self._work.prove_kept()
        begin_retry(self._work, stage=self._unit.stage.stage, from_stage_1=False)

    # --- the answer --------------------------------------------------------------------------------

    def _checked(self, answer: Answer) -> Sequence[bytes]:
        """The pictures, if they are what was asked for: a WebUI says 200 for much that is not."""
        if isinstance(answer, ExtraSingleImageResponse):
            return [answer.image]
        unit = self._unit
        wanted = checkpoint_of(self._work.record, unit.stage)
        if wanted and not answer.info.rendered_by(wanted):
            raise UnknownCheckpointError(
                f"asked for {wanted!r}, rendered with {answer.info.sd_model_name!r}",
                endpoint=unit.endpoint,
                method="POST",
                stage=unit.stage.stage,
                status=200,
            )
        return answer.pictures(len(unit.image_indexes))

    def _keep(self, image: int, content: bytes) -> OutputImage:
        unit, work = self._unit, self._work
        stem = f"{unit.stage_index + 1}-{unit.stage.stage}-{image:03d}-run{work.number}"
        written = write_picture(work.directory, stem, content)
        infotext = read_infotext(content) or ""
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
            seed=_seed_in(infotext),
            infotext=infotext,
        )

    def _keep_partial(self, pictures: Sequence[bytes]) -> None:
        """Half-made pictures of a stopped request stay on disk for the curious; they have no row."""
        unit, work = self._unit, self._work
        for image, content in enumerate(pictures):
            stem = f"partial-{unit.stage_index + 1}-{unit.stage.stage}-{image:03d}-run{work.number}"
            try:
                write_picture(work.directory, stem, content)
            except (OSError, UnusablePictureError) as exc:
                logger.info("A partial picture was not kept: %s", exc)


def begin_retry(work: Work, *, stage: str, from_stage_1: bool) -> None:
    """The granted retry goes off: from here on a failure is the last one."""
    work.retry_begun = True
    data = {"stage": stage, "run_number": work.number, "from_stage_1": from_stage_1}
    insist(partial(announce, work.claim, EventType.RETRY_STARTED, data))


def relative(paths: Sequence[Path]) -> list[str]:
    """As the database keeps them: relative to the output folder."""
    return [str(path.relative_to(output_root())) for path in paths]


def outcome_of(error: BaseException) -> AttemptOutcome:
    """How an attempt ended, by the kind of what was raised."""
    kinds: tuple[tuple[type[BaseException], AttemptOutcome], ...] = (
        (CancelledRun, AttemptOutcome.CANCELLED),
        (DrainedRun, AttemptOutcome.DRAINED),
        (WebUIRejectedError, AttemptOutcome.REJECTED),
        (WebUITransientError, AttemptOutcome.TRANSIENT),
        (WebUIServerError, AttemptOutcome.SERVER_ERROR),
        (WebUIUnavailableError, AttemptOutcome.UNAVAILABLE),
        (WebUIBadAnswerError, AttemptOutcome.BAD_ANSWER),
    )
    return next((outcome for kind, outcome in kinds if isinstance(error, kind)), AttemptOutcome.ERROR)


def _seed_in(infotext: str) -> int | None:
    """The seed that the WebUI says it used."""
    seed = parse_infotext(infotext).fields.get("Seed", "")
    return int(seed) if seed.isdecimal() else None
