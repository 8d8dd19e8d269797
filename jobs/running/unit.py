"""One unit of a run: its request, the pictures that come of it, and what recovery asks meanwhile.

`UnitRun` is the job's side of `webui.recovery.recovery`: it writes the attempts, events and the one retry, and proves
the answer. In which order units run and how a job ends stands in `jobs.running.run`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from jobs.errors import FencedError, RunError, UnusablePictureError
from jobs.inputs.store import input_root
from jobs.lifecycle import EventType
from jobs.models import AttemptOutcome, StageAttempt
from jobs.queue.holds import another_takes
from jobs.running.afterlife import STILL_THERE, lost_request
from jobs.running.attempts import announce, charge_retry, end_attempt, outcome_of, start_attempt
from jobs.running.departures import CancelledRun, DrainedRun, NodeLostRun, StorageRun
from jobs.running.judging import Judging
from jobs.running.keeping import Keeping
from jobs.running.outputs import output_root
from jobs.running.own_machine import own_fault, storage_run
from jobs.running.requests import Unit, work_of
from jobs.running.sent_request import SentRequest
from jobs.running.state import Kept, RunState, begin_retry
from webui.books import surely
from webui.errors import (
    WebUIBadAnswerError,
    WebUIError,
    WebUIUnavailableError,
)
from webui.evidence.failure_artifacts import FailureEvidence
from webui.kinds import server_noun
from webui.nodes.connecting import follow
from webui.recovery.hooks import Sending
from webui.work.pictures import Pictures
from webui.work.told import PictureFacts
from webui.work.unit import Work

logger = logging.getLogger(__name__)

#: After the id of a request, for the job's one retry.
OF_RETRY = ".2"
#: How often a run that waits reads what people want of it; the wait itself asks more often.
READ_EVERY_S = 0.25


class UnitRun:
    """Sends one unit, as often as policy and budget allow; `attempt` is the one under way or ended last."""

    attempt: StageAttempt
    _sending: Sending
    _failure: WebUIError | None = None
    """The last one."""

    def __init__(self, work: RunState, unit: Unit, *, first_of_stage: bool, fresh: bool) -> None:
        self._work = work
        self._unit = unit
        self._announce = first_of_stage
        # The claim has just looked whether anybody wants the job stopped.
        self._unasked = fresh
        self._read_at = 0.0
        self._waiting_since = 0.0
        self._reason = ""
        claim = work.claim
        place = f"{claim.job_id}-{unit.stage_index}-{unit.image_indexes[0]}"
        self._lost = lost_request(claim, unit)
        task_id = self._lost.task_id if self._lost else f"stablenew-{place}-{claim.run_token.hex[:8]}"
        # Of one body for every attempt of a run.
        self.request = work.server.driver.request(self._work_of(task_id))
        self.evidence = FailureEvidence(self.request, work.directory, claim.node_id)

    @property
    def task_id(self) -> str:
        return self.request.task_id

    def _work_of(self, task_id: str) -> Work:
        """Raises RecordChangedError where an input picture is another one than when the job was queued."""
        try:
            return work_of(self._work.record, self._unit, self._picture, task_id=task_id)
        except OSError as exc:
            raise storage_run(exc, input_root()) from exc

    def _picture(self, stage: str, image: int) -> bytes:
        return self._work.kept[stage, image].content

    # --- what recovery asks (webui.recovery.hooks.RecoveryHooks) -----------------------------------

    def send(self, sending: Sending) -> list[Kept]:
        """One POST: its attempt is committed before; its pictures are on disk and proved when this returns.

        They become results when the run accepts them.
        """
        self._begin(sending)
        unit, work = self._unit, self._work
        keeping = Keeping(work.claim, unit, work.directory, work.number, films=self.request.frames > 0)
        try:
            if self._lost is not None:
                self._take_up(self._lost)
            pictures = work.in_flight.send(self.request, unit, keeping.keep_partial)
            told = pictures.told if isinstance(pictures, Pictures) else Pictures.of(pictures).told
            judging = self._judging(pictures, told)
            written = keeping.write(pictures)
            work.in_flight.confirm(self.request)
            judged = judging.judged()
            rows = keeping.rows(self.attempt, written, judged, told)
            kept = [Kept(row, content, one) for row, content, one in zip(rows, pictures, judged, strict=True)]
        except FencedError:
            raise
        except WebUIError as exc:
            exc.server = server_noun(work.claim.job.kind)
            if (own := own_fault(exc)) is not None:
                surely(end_attempt, self.attempt, AttemptOutcome.DRAINED, reason=str(own))
                raise own from exc
            raise self.evidence.redact(exc) from exc.__cause__
        except UnusablePictureError as exc:
            error = WebUIBadAnswerError(
                str(exc),
                endpoint=self.request.endpoint,
                method="POST",
                stage=self.request.stage,
                status=200,
                server=server_noun(work.claim.job.kind),
            )
            raise self.evidence.redact(error) from None
        except (CancelledRun, DrainedRun, RunError, StorageRun) as exc:
            # Whatever else may come up ends the run, which closes what it has left open.
            surely(end_attempt, self.attempt, outcome_of(exc), reason=str(exc))
            raise
        return kept

    def _take_up(self, lost: StageAttempt) -> None:
        """The request of a process that is gone is sent under its id, which gives its result and executes nothing.

        Raises `WebUIBadAnswerError` where the server would execute it: that is what the one retry is for.
        """
        self._lost = None
        fate = self._work.server.fate_of(lost.task_id)
        if fate not in STILL_THERE or self._sending.generation != lost.node_generation:
            raise WebUIBadAnswerError(
                "it does not know the request any more that a process which is gone had sent",
                endpoint=self.request.endpoint,
                method="POST",
                stage=self.request.stage,
            )

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
        self._failure = error
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
        """A server that executes no request twice is asked for the answer again, so that nothing is interrupted."""
        work = self._work
        if work.server.driver.repeatable:
            return True
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
            self._work.board.show_waiting(self._unit, f"the {server_noun(self._work.claim.job.kind)}")
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
            "stage": self.sent.stage,
        }
        surely(announce, work.claim, EventType.WEBUI_RESTARTED, data)

    def _follow_node(self) -> None:
        """The node has another boot: what is asked, sent or written from now on means that one."""
        node = self._work.claim.node
        surely(node.refresh_from_db)
        follow(self._work.server, node)

    def retry_started(self) -> None:
        """Raises `KeptPictureChanged` where the retry cannot go on from what the run has."""
        self._work.number += 1
        self._work.prove_kept()
        self._give_new_id()
        begin_retry(self._work, stage=self._unit.stage.stage, from_stage_1=False)

    def _give_new_id(self) -> None:
        """A server that executes no request twice would give the answer of before, which could not be used. Where only
        the answer was lost, that is what is wanted.
        """
        answer_lost = isinstance(self._failure, WebUIUnavailableError) and self._failure.sent
        if self._work.server.driver.repeatable and not answer_lost:
            self.request = replace(self.request, task_id=f"{self.task_id}{OF_RETRY}")

    # --- the answer --------------------------------------------------------------------------------

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


def relative(paths: Sequence[Path]) -> list[str]:
    """As the database keeps them: relative to the output folder."""
    return [str(path.relative_to(output_root())) for path in paths]
