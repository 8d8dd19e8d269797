"""Why queued jobs wait, beyond the jobs in front of them: what holds the queue, their kind, or them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.clock import database_now
from jobs.models import QueueControl
from jobs.queue.hold_words import Hold, hold_of_kind, hold_of_pause, holds_of, lasting
from jobs.queue.holds import HoldCode, all_facts, pause_of
from jobs.reading.lists import JobLine


def why_jobs_wait(lines: Sequence[JobLine], kinds: Mapping[int, str]) -> dict[int, str]:
    """A sentence for each of these jobs (of these kinds, by id) that something holds; three queries, or none."""
    queued = [line for line in lines if line.waiting]
    if not queued:
        return {}
    of_kind = _holds({kinds[line.id] for line in queued})
    found = {line.id: of_kind[kinds[line.id]] or line.held for line in queued}
    return {job_id: sentence for job_id, sentence in found.items() if sentence}


def _holds(kinds: set[str]) -> dict[str, str]:
    """By kind, what keeps every job of it from running; empty where some node takes them."""
    now = database_now()
    pause = pause_of(QueueControl.objects.get(pk=QueueControl.SINGLETON_ID))
    if pause is not None:
        return dict.fromkeys(kinds, hold_of_pause(pause, now).text)
    nodes = all_facts(now)
    found = {}
    for kind in kinds:
        hold: Hold | None = hold_of_kind(kind, nodes)
        if hold is None:
            first = [_first_hold(holds_of(node, now)) for node in nodes if node.kind == kind]
            hold = first[0] if all(first) else None
        found[kind] = hold.text if hold else ""
    return found


def _first_hold(holds: tuple[Hold, ...]) -> Hold | None:
    """What keeps a node from the next job, once it has finished the one that runs."""
    return next((hold for hold in lasting(holds) if hold.code != HoldCode.BREAKER_DUE), None)
