"""The books of a run: an attempt is committed as started before every POST and ended once.

Every write carries the run token; `FencedError` means that somebody else took over and the run must stop. Each may be
done twice, because of a lost connection nobody knows whether it was committed (`webui.books`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from jobs.errors import FencedError
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome, Job, OutputImage, StageAttempt
from jobs.queue.breaker import is_open, note_completed
from jobs.queue.claims import Claim
from jobs.queue.moves import add_event, fence, move_locked
from jobs.queue.trouble import note_success
from jobs.records.reading import AnyRecord, read_record
from jobs.running.departures import CancelledRun, DrainedRun, StorageRun
from jobs.running.requests import Unit
from jobs.truth.checks import drift_facts, keep_checks, truth_of
from jobs.truth.outcomes import Judgement
from webui.books import insist
from webui.errors import (
    WebUIBadAnswerError,
    WebUICheckpointError,
    WebUIRejectedError,
    WebUIServerError,
    WebUITransientError,
    WebUIUnavailableError,
)


def next_run_number(job: Job) -> int:
    """1 for the first run of a job that starts anything."""
    if job.retry_count == job.operator_requeues == job.idle_claims == 0:
        return 1
    last = StageAttempt.objects.filter(job_id=job.pk).aggregate(last=Max("run_number"))["last"]
    return (last or 0) + 1


def start_attempt(
    claim: Claim,
    unit: Unit,
    *,
    run_number: int,
    task_id: str,
    announce: bool,
    attempt_index: int = 1,
    max_attempts: int = 1,
    wait_s: float = 0.0,
) -> StageAttempt:
    """Commit that this unit is about to be sent; `announce` adds the STAGE_STARTED event.

    The last three are about the request's own retries: which try, of how many, and the seconds waited before it.
    Raises `CancelledRun` when somebody cancelled the job: then nothing is sent.
    """
    attempt = StageAttempt(
        job_id=claim.job_id,
        run_token=claim.run_token,
        run_number=run_number,
        stage=unit.stage.stage,
        stage_index=unit.stage_index,
        image_index=unit.image_index,
        node_id=claim.node_id,
        node_generation=claim.node.generation,
        task_id=task_id,
        attempt_index=attempt_index,
        max_attempts=max_attempts,
        wait_s=wait_s,
    )
    event = EventType.STAGE_STARTED if announce else None
    start = partial(_start, claim, attempt, event, _stage_facts(unit, run_number))
    return insist(start, again=lambda: _started(attempt) or start())


def _start(
    claim: Claim, attempt: StageAttempt, event: EventType | None, facts: dict[str, Any]
) -> StageAttempt:
    with transaction.atomic(durable=True):
        write_fenced(
            claim,
            event,
            facts | {"take": claim.job.take},
            starting=True,
            current_stage=attempt.stage,
            idle_claims=0,
        )
        attempt.pk = None
        attempt.save(force_insert=True)
    return attempt


def _started(attempt: StageAttempt) -> StageAttempt | None:
    """The same attempt, where a write whose answer was lost has started it."""
    same = ("job_id", "run_token", "run_number", "task_id", "attempt_index")
    alike = StageAttempt.objects.filter(**{name: getattr(attempt, name) for name in same})
    return alike.filter(ended_at__isnull=True).first()


def end_attempt(
    attempt: StageAttempt,
    outcome: AttemptOutcome,
    *,
    reason: str = "",
    http_status: int | None = None,
    artifact_paths: Sequence[str] = (),
) -> bool:
    """Close an attempt; False where it was closed so before, by a write whose answer was lost.

    `FencedError` when it was closed by somebody else (the run was declared lost). `artifact_paths` are relative to
    the output folder.
    """
    now = timezone.now()
    open_row = StageAttempt.objects.filter(pk=attempt.pk, ended_at__isnull=True)
    ended = open_row.update(
        ended_at=now,
        outcome=outcome,
        reason=reason,
        http_status=http_status,
        duration_s=(now - attempt.started_at).total_seconds(),
        artifact_paths=list(artifact_paths),
    )
    if not ended and not StageAttempt.objects.filter(pk=attempt.pk, outcome=outcome).exists():
        raise FencedError(attempt.job_id)
    return bool(ended)


def outcome_of(error: BaseException) -> AttemptOutcome:
    """How an attempt ended, by the kind of what was raised."""
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], AttemptOutcome], ...] = (
        (CancelledRun, AttemptOutcome.CANCELLED),
        (DrainedRun, AttemptOutcome.DRAINED),
        (StorageRun, AttemptOutcome.DRAINED),
        (WebUIRejectedError, AttemptOutcome.REJECTED),
        (WebUITransientError, AttemptOutcome.TRANSIENT),
        ((WebUIServerError, WebUICheckpointError), AttemptOutcome.SERVER_ERROR),
        (WebUIUnavailableError, AttemptOutcome.UNAVAILABLE),
        (WebUIBadAnswerError, AttemptOutcome.BAD_ANSWER),
    )
    return next((outcome for kind, outcome in kinds if isinstance(error, kind)), AttemptOutcome.ERROR)


def close_attempts(job: Job, outcome: AttemptOutcome, reason: str) -> StageAttempt | None:
    """End what a run that goes or is gone has left open; returns the last attempt of that run."""
    if job.run_token is None:
        return None
    attempts = StageAttempt.objects.filter(job_id=job.pk, run_token=job.run_token)
    last = attempts.order_by("-id").first()
    attempts.filter(ended_at__isnull=True).update(ended_at=timezone.now(), outcome=outcome, reason=reason)
    return last


def accept(
    claim: Claim,
    attempt: StageAttempt,
    unit: Unit,
    outputs: Sequence[OutputImage],
    *,
    judgements: Sequence[Judgement] = (),
    stage_complete: bool,
    stage_paths: Sequence[str] = (),
    results: Sequence[OutputImage] | None = None,
) -> Job:
    """The pictures of a unit become results, its attempt ends, the stage is announced: all or nothing.

    `stage_paths` are all pictures of the stage so far (default: those of the unit). With the last unit all `results`
    of the job are given: the job is COMPLETED in the same transaction, and the breaker of its node hears of it.
    `judgements` are those of the pictures, in the same order.
    Returns the job.
    """
    facts = _stage_facts(unit, attempt.run_number) | {
        "outputs": list(stage_paths) or [output.path for output in outputs]
    }
    if results is None:
        with transaction.atomic(durable=True):
            if _keep(attempt, outputs, judgements):
                write_fenced(claim, EventType.STAGE_COMPLETED if stage_complete else None, facts)
        return claim.job
    try:
        return _complete(claim, attempt, outputs, judgements, facts, results)
    except FencedError:
        # Somebody added an event meanwhile, or took the job over: the row says which.
        with transaction.atomic(durable=True):
            write_fenced(claim)
        return _complete(claim, attempt, outputs, judgements, facts, results)


def _keep(attempt: StageAttempt, outputs: Sequence[OutputImage], judgements: Sequence[Judgement]) -> bool:
    """False where they are kept already, with all that is written beside them."""
    if not end_attempt(attempt, AttemptOutcome.COMPLETED, http_status=200):
        return False
    for output in outputs:
        # Django gives keys to rows of a transaction that did not come about, too.
        output.pk = None
    OutputImage.objects.bulk_create(outputs)
    keep_checks(outputs, judgements)
    return True


def _complete(
    claim: Claim,
    attempt: StageAttempt,
    outputs: Sequence[OutputImage],
    judgements: Sequence[Judgement],
    facts: dict[str, Any],
    results: Sequence[OutputImage],
) -> Job:
    job = copy(claim.job)
    job.results = list(results)
    with transaction.atomic(durable=True):
        if not _keep(attempt, outputs, judgements):
            return Job.objects.select_related("record").get(pk=job.pk)
        if claim.runner.crash_failures or is_open(claim.runner):
            # Locks are taken in one order everywhere: job, runner, ledger.
            write_fenced(claim)
            note_completed(claim.runner)
        if claim.troubled:
            record = read_record(job.record.canonical_json)
            note_success(claim.node_id, checkpoints_of(record))
        stage_completed = (EventType.STAGE_COMPLETED, facts)
        move_locked(
            job,
            JobStatus.COMPLETED,
            event=EventType.COMPLETED,
            changes={"truth": truth_of(results)},
            data=drift_facts(results),
            preceding=stage_completed,
        )
    return job


def checkpoints_of(record: AnyRecord) -> set[str]:
    """The checkpoints that a record names to draw with."""
    own = (getattr(stage.parameters, "checkpoint", "") for stage in record.enabled_stages)
    return {name for name in (record.base_model, *own) if name}


def charge_retry(claim: Claim, attempt: StageAttempt, data: dict[str, Any]) -> bool:
    """Grant the job's one retry for the failure of `attempt`, with its CRASH_SUSPECTED event; False if it is spent.

    The count goes from 0 to 1 once in the life of a job, whatever the cause.
    """
    with transaction.atomic(durable=True):
        granted = write_fenced(
            claim,
            EventType.CRASH_SUSPECTED,
            data,
            only_where={"retry_count": 0},
            retry_count=1,
            retry_after=attempt.pk,
        )
        # Granted before, by a write whose answer was lost.
        granted = granted or fence(claim.job_id, claim.run_token, retry_after=attempt.pk).exists()
        if granted:
            claim.job.retry_count, claim.job.retry_after = 1, attempt.pk
    return granted


def announce(claim: Claim, event: EventType, data: dict[str, Any]) -> None:
    """An event of the run that moves nothing."""
    with transaction.atomic(durable=True):
        write_fenced(claim, event, data)


def start_take(claim: Claim) -> None:
    """The job starts again at its first stage: what was accepted before no longer counts, and stays on disk."""
    with transaction.atomic(durable=True):
        take = claim.job.take + 1
        write_fenced(claim, take=take)
    claim.job.take = take


def write_fenced(
    claim: Claim,
    event: EventType | None = None,
    data: dict[str, Any] | None = None,
    *,
    starting: bool = False,
    only_where: Mapping[str, Any] | None = None,
    **columns: Any,
) -> bool:
    """Prove that the run is still ours, lock the job's row, write `columns` and append `event`: all that a run writes
    between its claim and its end. In the caller's transaction.

    One compare-and-swap as a rule; only if it misses is the row read to find out why. False where the row is ours and
    `only_where` does not hold. Raises `FencedError`, and `CancelledRun` for a `starting` that somebody has cancelled.
    """
    more = int(event is not None)
    sequence = claim.job.last_sequence + more
    known = {**(only_where or {}), "last_sequence": claim.job.last_sequence}
    if starting:
        known["cancel_requested_at"] = None
    if not fence(claim.job_id, claim.run_token, **known).update(last_sequence=sequence, **columns):
        locked = fence(claim.job_id, claim.run_token).select_for_update()
        row = locked.values("last_sequence", "cancel_requested_by").first()
        if row is None:
            raise FencedError(claim.job_id)
        if starting and row["cancel_requested_by"]:
            raise CancelledRun(row["cancel_requested_by"])
        sequence = row["last_sequence"] + more
        again = fence(claim.job_id, claim.run_token, **(only_where or {}))
        if not again.update(last_sequence=sequence, **columns):
            return False
    claim.job.last_sequence = sequence
    if event is not None:
        add_event(claim.job, event, data=data)
    return True


def _stage_facts(unit: Unit, run_number: int) -> dict[str, Any]:
    return {"stage": unit.stage.stage, "stage_index": unit.stage_index, "run_number": run_number}
