"""Run one claimed job: unit after unit, to a known end.

The one place with a catch-all: whatever goes wrong becomes the job's envelope, and the next job runs. What happens
within a unit stands in `jobs.running.unit`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial

from django.db import Error

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, OutputImage, StageAttempt
from jobs.queue.claims import Claim, claim_next
from jobs.queue.deadlines import request_deadline_s
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.queue.storage import make_folder, run_directory
from jobs.queue.wakeup import send_token
from jobs.records.reading import AnyRecord, read_record
from jobs.running.attempts import accept, next_run_number, start_take
from jobs.running.departures import KeptPictureChanged, NodeLostRun, WorkerLeaves
from jobs.running.ends import RunEnd, UnitFailed
from jobs.running.in_flight import InFlight
from jobs.running.last_look import look_at_lists
from jobs.running.lease import Lease
from jobs.running.live_preview import PreviewWatch
from jobs.running.outputs import set_aside_unaccepted
from jobs.running.progress import ProgressBoard
from jobs.running.requests import Unit, units_of
from jobs.running.state import Kept, RunState, begin_retry
from jobs.running.stop_signals import StopSignals
from jobs.running.unit import UnitRun
from jobs.truth.checks import drift_facts, truth_of
from webui.books import insist, surely
from webui.driver import Server
from webui.log_fields import knowing
from webui.nodes.connecting import connect as connect_node
from webui.nodes.wishes import restart_and_wait_ready
from webui.recovery.hooks import RestartAndWait
from webui.recovery.recovery import RecoveryEnding, generate_images_with_recovery
from webui.work.timeouts import Timeouts

logger = logging.getLogger(__name__)


def run_one(runner_id: int) -> bool:
    """Claim the next job for this runner's node and run it to its end; False when there was none."""
    claim = claim_next(runner_id, ProcessIdentity.of_self())
    if claim is None:
        return False
    try:
        with knowing(job=claim.job_id, node=claim.node.name):
            Run(claim).execute()
    except (Error, WorkerLeaves):
        # Only a process that is gone is judged, so this one goes; the supervisor starts another.
        logger.critical("This runner cannot go on after job %s and leaves.", claim.job_id, exc_info=True)
        os._exit(1)
    return True


class Run:
    """One claimed job from claim to end.

    `connect` leads to the node's server, `restart` asks its keeper for a restart and waits; `sleep` passes
    the waits of a stage's policy.
    """

    def __init__(
        self,
        claim: Claim,
        *,
        connect: Callable[..., Server] = connect_node,
        restart: RestartAndWait = restart_and_wait_ready,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.claim = claim
        self._connect = connect
        self._restart = restart
        self._sleep = sleep
        self._woken = False
        self._board: ProgressBoard | None = None
        self._previews: PreviewWatch | None = None

    def execute(self) -> None:
        """Run the job; it ends COMPLETED, FAILED, CANCELLED, or QUEUED again (drain, or no WebUI to run it)."""
        lease = Lease(self.claim)
        self._signals = StopSignals(self.claim, lease)
        self._end = end = RunEnd(self.claim, self._signals)
        try:
            end.tell(self._run())
        except Exception as exc:  # noqa: BLE001 - the top of the run: nothing may leave a job RUNNING
            end.by(exc)
        finally:
            self._wake_next()
            lease.stop()
            if self._previews is not None:
                self._previews.close()
            if self._board is not None and not self.claim.more:
                # Else the next job writes its own in a moment; nobody shows the progress of a job that has ended.
                self._board.clear()

    def _wake_next(self) -> None:
        """The wake-up of the next job, once: it is fetched while this one works."""
        if not self._woken:
            self._woken = True
            if self.claim.more:
                surely(send_token, self.claim.runner)

    # --- the way through ---------------------------------------------------------------------------

    def _run(self) -> Job:
        """Every unit that is missing; returns the completed job."""
        work = insist(self._prepare)
        again = (work.number > 1 or self.claim.lost is not None) and insist(partial(self._resume, work))
        while True:
            try:
                if again:
                    self._start_again(work)
                return self._missing_units(work)
            except KeptPictureChanged as exc:
                logger.warning("Job %s starts again at its first stage: %s.", self.claim.job_id, exc)
                again = True

    def _prepare(self) -> RunState:
        job, node = self.claim.job, self.claim.node
        record = self._proved_record()
        if self.claim.lost is None:
            look_at_lists(self.claim, self._connect)
        timeouts = Timeouts(generation_s=request_deadline_s(job.kind))
        server = self._connect(node, timeouts=timeouts)
        stages = units_of(record)
        directory = run_directory(job)
        make_folder(directory)
        self._board = ProgressBoard(self.claim, len(stages))
        # On a server that others use too, what is being made may be somebody else's.
        self._previews = PreviewWatch(
            node,
            server,
            is_ours=lambda task_id: node.managed or server.is_running(task_id, alone=False),
        )
        return RunState(
            claim=self.claim,
            record=record,
            stages=stages,
            server=server,
            signals=self._signals,
            board=self._board,
            in_flight=InFlight(
                self.claim, server, self._board, self._signals, self._previews, meanwhile=self._wake_next
            ),
            directory=directory,
            number=self.claim.lost.run_number if self.claim.lost else next_run_number(job),
        )

    def _proved_record(self) -> AnyRecord:
        row = self.claim.job.record
        return read_record(row.canonical_json, sha256=row.sha256)

    def _resume(self, work: RunState) -> bool:
        """Take up what earlier runs have left; True when the job must start again at its first stage."""
        job = self.claim.job
        set_aside_unaccepted(job)
        begun = job.attempts.filter(pk__gt=job.retry_after or 0).exists()
        work.retry_begun = bool(job.retry_count) and begun
        try:
            work.read_kept()
        except KeptPictureChanged as exc:
            logger.warning("Job %s starts again at its first stage: %s.", job.pk, exc)
            return True
        if job.retry_count and not work.retry_begun:
            missing = _missing_of(work)
            stage = missing[0].stage.stage if missing else job.current_stage
            begin_retry(work, stage=stage, from_stage_1=False)
        return False

    def _start_again(self, work: RunState) -> None:
        surely(start_take, self.claim)
        work.kept.clear()
        if self.claim.job.retry_count and not work.retry_begun:
            first = work.stages[0][0].stage.stage
            begin_retry(work, stage=first, from_stage_1=True)

    def _missing_units(self, work: RunState) -> Job:
        missing = _missing_of(work)
        job = self.claim.job
        for position, unit in enumerate(missing):
            self._end.stage = unit.stage.stage
            before, after = missing[:position][-1:], missing[position + 1 :][:1]
            first = not before or before[0].stage_index != unit.stage_index
            fresh = not position and self.claim.lost is None
            kept, attempt = self._run_unit(work, unit, first_of_stage=first, fresh=fresh)
            for picture in kept:
                work.kept[picture.row.stage, picture.row.image_index] = picture
            job = surely(
                accept,
                self.claim,
                attempt,
                unit,
                [picture.row for picture in kept],
                judgements=[picture.judged.judgement for picture in kept if picture.judged],
                stage_paths=[row.path for row in _in_order(work) if row.stage_index == unit.stage_index],
                stage_complete=not after or after[0].stage_index != unit.stage_index,
                results=None if after else _in_order(work),
            )
        return job if missing else insist(partial(self._complete_without_a_post, work))

    def _complete_without_a_post(self, work: RunState) -> Job:
        """An earlier run had finished every unit: that says nothing about the WebUI of now."""
        token, rows = self.claim.run_token, _in_order(work)
        return move_job(
            self.claim.job_id,
            JobStatus.COMPLETED,
            event=EventType.COMPLETED,
            run_token=token,
            changes={"truth": truth_of(rows)},
            data=drift_facts(rows),
        )

    def _run_unit(
        self, work: RunState, unit: Unit, *, first_of_stage: bool, fresh: bool
    ) -> tuple[list[Kept], StageAttempt]:
        """`fresh`: the claim has just seen that the node is READY and nobody wants the job stopped."""
        hooks = UnitRun(work, unit, first_of_stage=first_of_stage, fresh=fresh)
        outcome = generate_images_with_recovery(
            unit.stage.stage,
            hooks.send,
            hooks,
            job_id=self.claim.job_id,
            node_id=self.claim.node_id,
            generation=self.claim.node.generation,
            in_retry=work.retry_begun,
            known_ready=fresh,
            restart=self._restart,
            sleep=self._sleep,
        )
        if outcome.ending is RecoveryEnding.DONE and outcome.value is not None:
            return outcome.value, hooks.attempt
        if outcome.ending is RecoveryEnding.RESTART_FAILED:
            raise NodeLostRun(str(outcome.error))
        raise UnitFailed(outcome, hooks.evidence.paths, hooks.sent, hooks.request.checkpoint)


def _missing_of(work: RunState) -> list[Unit]:
    """The units of which a picture is missing, in the order in which they run."""
    return [unit for units in work.stages for unit in units if not _is_kept(unit, work)]


def _is_kept(unit: Unit, work: RunState) -> bool:
    return all((unit.stage.stage, image) in work.kept for image in unit.image_indexes)


def _in_order(work: RunState) -> list[OutputImage]:
    rows = [kept.row for kept in work.kept.values()]
    return sorted(rows, key=lambda row: (row.stage_index, row.image_index))
