"""Acts on many jobs: a selection or all that match a filter, in chunks of one short transaction each.

Who asks for an act calls `start`, then `advance` until it has ended. Each chunk commits its jobs together with
the progress of the act, so that an act which nobody advanced to its end can be gone on with by anybody.
What a verb does to the jobs of a chunk stands in `jobs.bulk.verbs`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import Max

from jobs.bulk.verbs import QUEUED_VERBS, do_chunk, fitting
from jobs.clock import database_now
from jobs.errors import NotFoundError, RecordProblem, RefusedError
from jobs.lifecycle import JobStatus, Priority
from jobs.models import BulkAction, BulkVerb, Job, QueueControl
from jobs.queue.control import touch
from jobs.queue.filters import JobFilter
from jobs.queue.held_jobs import held
from jobs.queue.search import (
    EARLIEST_END,
    IN_QUEUE,
    LATEST_END,
    FoundJobs,
    JobOrder,
    Search,
    count_all,
    search_finished,
    search_queue,
    step,
)
from jobs.queue.wakeup import kick_all
from webui.nodes.asking import named

logger = logging.getLogger(__name__)

#: Jobs of one transaction, so that claims and pages get their turn.
CHUNK = 250
#: Rows that a chunk looks at to find its jobs. More than a page does: nobody waits for the answer meanwhile.
LOOK_ROWS = 20_000
#: Longest selection by id; more than these are chosen by a filter.
MAX_SELECTED = 10_000


def count(verb: BulkVerb, chosen: JobFilter) -> int:
    """How many jobs the act would touch if it were asked for now."""
    return count_all(_search(verb, chosen))


def fitting_ids(verb: BulkVerb, ids: Sequence[int]) -> tuple[int, ...]:
    """Those of a selection that the act would touch if it were asked for now; `RefusedError` for too many."""
    return tuple(fitting(verb, Job.objects.filter(pk__in=_selected(ids))).values_list("pk", flat=True))


def newest_id() -> int:
    """The newest job, for `start`; 0 where there is none."""
    return Job.objects.aggregate(newest=Max("id"))["newest"] or 0


def start(
    verb: BulkVerb,
    chosen: JobFilter | Sequence[int],
    *,
    by: str,
    priority: Priority | None = None,
    last_id: int | None = None,
    reason: str = "",
) -> BulkAction:
    """Ask for an act on these jobs; it touches none before `advance`. Jobs that come later are not part of it.

    `priority` goes with the verb PRIORITY. `last_id` is the newest job that whoever asks knew of, as a rule that
    of now: what was run again since is not run again once more. An act without a job has ended already. Raises
    `RefusedError` for a selection of too many. A `reason` stands in the events of cancelled jobs.
    """
    last: dict[str, Any] = {"last_id": newest_id() if last_id is None else last_id}
    if reason:
        last["reason"] = reason
    filters: dict[str, str] = {}
    if isinstance(chosen, JobFilter):
        filters = chosen.query()
        bounds = last | _bounds_now(verb)
        total = count_all(_within(_search(verb, chosen), verb, bounds))
    else:
        jobs = _order(verb).sort(Job.objects.filter(pk__in=_selected(chosen)))
        bounds = last | {"ids": list(jobs.values_list("pk", flat=True))}
        total = len(bounds["ids"])
    return BulkAction.objects.create(
        verb=verb,
        priority=priority,
        filters=filters,
        asked_by=by[:150],
        bounds=bounds,
        total=total,
        ended_at=None if total else database_now(),
    )


def advance(action_id: int) -> BulkAction:
    """Do the next chunk; the act as it is then. An act that has ended is only returned.

    Two callers at once never do a chunk twice: the second finds that the first one has moved the cursor.
    """
    seen = get(action_id)
    if seen.ended_at is not None:
        return seen
    # Looked for without a lock. Whoever has changed since is found out under the lock.
    found = _next_chunk(seen)
    with transaction.atomic(durable=True):
        action = BulkAction.objects.select_for_update().get(pk=action_id)
        if action.ended_at is not None or action.cursor != seen.cursor:
            return action
        done = do_chunk(action, found.jobs)
        _record(action, found, done)
        touch()
    if done and action.verb in (BulkVerb.RETRY, BulkVerb.ANYWAY):
        kick_all()
    if action.ended_at is not None:
        _log_end(action)
    return action


def run(action: BulkAction) -> Iterator[BulkAction]:
    """Advance to the end; the act after each chunk."""
    while action.ended_at is None:
        action = advance(action.pk)
        yield action


def stop(action_id: int, *, by: str) -> BulkAction:
    """End an act before its last job; what it has done stays done."""
    with transaction.atomic(durable=True):
        action = get(action_id, locked=True)
        if action.ended_at is None:
            action.ended_at, action.stopped_by = database_now(), by[:150]
            action.save(update_fields=("ended_at", "stopped_by"))
            touch()
            _log_end(action)
    return action


def unfinished() -> list[BulkAction]:
    """Acts that have not ended, the latest first."""
    return list(BulkAction.objects.filter(ended_at__isnull=True).order_by("-id"))


def get(action_id: int, *, locked: bool = False) -> BulkAction:
    """The act as it is now; `NotFoundError` where there is none."""
    actions = BulkAction.objects.select_for_update() if locked else BulkAction.objects.all()
    action = actions.filter(pk=action_id).first()
    if action is None:
        raise NotFoundError(f"There is no act {action_id} on many jobs.")
    return action


def _selected(ids: Sequence[int]) -> list[int]:
    unique = list(dict.fromkeys(ids))
    if len(unique) > MAX_SELECTED:
        message = f"{len(unique):,} jobs are selected, {MAX_SELECTED:,} are allowed. Choose them by a filter."
        raise RefusedError([RecordProblem(code="too_many", message=message)])
    return unique


def _search(verb: BulkVerb, chosen: JobFilter) -> Search:
    if verb in QUEUED_VERBS:
        found = search_queue(chosen)
        return replace(found, base=found.base.filter(held())) if verb == BulkVerb.ANYWAY else found
    return search_finished(replace(chosen, attention=True) if verb == BulkVerb.DISMISS else chosen)


def _order(verb: BulkVerb) -> JobOrder:
    return IN_QUEUE if verb in QUEUED_VERBS else EARLIEST_END


def _bounds_now(verb: BulkVerb) -> dict[str, Any]:
    """What sets the jobs of now apart from those that come to the queue, or to an end, later."""
    if verb not in QUEUED_VERBS:
        newest = LATEST_END.sort(Job.objects.filter(finished_at__isnull=False)).first()
        return {"last_end": LATEST_END.key(newest) if newest else LATEST_END.write((-1, 0))}
    control = QueueControl.objects.values("next_position").get(pk=QueueControl.SINGLETON_ID)
    return {
        # Whatever goes to the back from now on, this act's own jobs as well, stands at this place or behind.
        "end_position": control["next_position"],
        # They may come back to the queue while the act goes on; they were not in it when it was asked for.
        "running": list(Job.objects.filter(status=JobStatus.RUNNING).values_list("pk", flat=True)),
    }


def _within(search: Search, verb: BulkVerb, bounds: dict[str, Any]) -> Search:
    if verb not in QUEUED_VERBS:
        return replace(search, base=search.base.filter(EARLIEST_END.up_to(bounds["last_end"])))
    rows = search.base.filter(id__lte=bounds["last_id"], position__lt=bounds["end_position"])
    return replace(search, base=rows.exclude(pk__in=bounds["running"]))


def _next_chunk(action: BulkAction) -> FoundJobs:
    verb = BulkVerb(action.verb)
    if "ids" in action.bounds:
        begin = int(action.cursor or 0)
        ids = action.bounds["ids"][begin : begin + CHUNK]
        jobs = Job.objects.select_related("record").in_bulk(ids)
        more = begin + CHUNK < len(action.bounds["ids"])
        return FoundJobs(
            tuple(jobs[pk] for pk in ids if pk in jobs), str(begin + CHUNK) if more else "", len(ids)
        )
    search = _within(_search(verb, JobFilter.stored(action.filters)), verb, action.bounds)
    return step(replace(search, rows=LOOK_ROWS), _order(verb), action.cursor, CHUNK)


def _record(action: BulkAction, found: FoundJobs, done: int) -> None:
    action.cursor = found.after
    action.done += done
    if "ids" in action.bounds:
        action.skipped += (found.searched or 0) - done
    if not found.after or action.done >= action.total:
        action.ended_at = database_now()
        # A job that was ending at the very moment of the count may have come on top.
        action.total = max(action.total, action.done)
        action.skipped = action.total - action.done
    action.total = max(action.total, action.done + action.skipped)
    action.save(update_fields=("bounds", "cursor", "total", "done", "skipped", "ended_at"))


def _log_end(action: BulkAction) -> None:
    logger.info(
        "%s: %s of %s jobs, asked by %s%s.",
        BulkVerb(action.verb).label,
        action.done,
        action.total,
        named(action.asked_by),
        f", stopped by {action.stopped_by}" if action.stopped_by else "",
        extra={"event": "bulk.ended", "bulk": action.pk, "verb": action.verb, "done": action.done},
    )
