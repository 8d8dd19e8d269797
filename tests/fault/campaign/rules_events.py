"""The events of a job: a whole, legal, unchanging chain that agrees with the job's row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from tests.fault.campaign.books import TERMINAL, Books
from tests.fault.campaign.evidence import Row, digest_of

CRASH_SUSPECTED = "QUEUE_JOB_WEBUI_CRASH_SUSPECTED"
RETRY_EXHAUSTED = "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED"

#: Event type -> (status before, status after) of every move. The statuses of other events are empty.
MOVES: dict[str, set[tuple[str, str]]] = {
    "QUEUED": {("", "QUEUED")},
    "RUNNING": {("QUEUED", "RUNNING")},
    "REQUEUED": {("RUNNING", "QUEUED")},
    "COMPLETED": {("RUNNING", "COMPLETED")},
    "FAILED": {("RUNNING", "FAILED")},
    "CANCELLED": {("RUNNING", "CANCELLED"), ("QUEUED", "CANCELLED")},
}
WHILE_RUNNING = frozenset(
    {"STAGE_STARTED", "STAGE_COMPLETED", CRASH_SUSPECTED, "WEBUI_RESTARTED", "RETRY_STARTED", RETRY_EXHAUSTED}
)
#: Clocks of processes on one machine; times are taken before the commit that makes them visible.
CLOCK_SLACK = timedelta(seconds=1)


def sequences_are_whole(books: Books) -> Iterator[str]:
    for job_id, job in books.jobs.items():
        sequences = [event["sequence"] for event in books.events.get(job_id, [])]
        if sequences != list(range(1, len(sequences) + 1)):
            yield f"Job {job_id}: its events are numbered {sequences}."
        if job["last_sequence"] != len(sequences):
            yield f"Job {job_id}: the row counts {job['last_sequence']} events, there are {len(sequences)}."


def every_move_is_legal(books: Books) -> Iterator[str]:
    for job_id, events in books.events.items():
        status = ""
        for event in events:
            kind, before, after = event["event_type"], event["from_status"], event["to_status"]
            place = f"Job {job_id} #{event['sequence']} {kind}"
            if kind == "ILLEGAL_TRANSITION":
                yield f"{place}: somebody tried to move it from {before} to {after}."
                continue
            if kind in MOVES:
                if (before, after) not in MOVES[kind]:
                    yield f"{place}: {before or 'nothing'} -> {after or 'nothing'} is no legal move."
                if before != status:
                    yield f"{place}: it claims to come from {before or 'nothing'}, the job was {status}."
                status = after or status
            elif kind in WHILE_RUNNING and status != "RUNNING":
                yield f"{place}: the job was {status}, not RUNNING."


def events_come_in_a_possible_order(books: Books) -> Iterator[str]:
    for job_id, events in books.events.items():
        if [event["event_type"] for event in events[:2]] != ["SUBMITTED", "QUEUED"]:
            yield f"Job {job_id} does not begin with SUBMITTED and QUEUED."
        for before, after in pairwise(events):
            if after["at"] < before["at"] - CLOCK_SLACK:
                yield f"Job {job_id} #{after['sequence']} {after['event_type']} is older than the event before it."
        yield from _stages_out_of_order(job_id, events)


def _stages_out_of_order(job_id: int, events: list[Row]) -> Iterator[str]:
    started: set[str] = set()
    charged = False
    for position, event in enumerate(events):
        kind, data = event["event_type"], event["data"]
        place = f"Job {job_id} #{event['sequence']} {kind}"
        if kind == "RUNNING":
            started = set()
        elif kind == "STAGE_STARTED":
            started.add(data.get("stage"))
        elif kind == "STAGE_COMPLETED" and data.get("stage") not in started:
            yield f"{place}: stage {data.get('stage')} was not started in this run."
        elif kind == "RETRY_STARTED" and not charged:
            yield f"{place}: no retry had been granted."
        elif kind == RETRY_EXHAUSTED:
            following = events[position + 1 : position + 2]
            if not following or following[0]["event_type"] not in ("FAILED", "CANCELLED"):
                yield f"{place}: the job did not end with it."
        charged = charged or is_charge(event)


def is_charge(event: Row) -> bool:
    """The event in whose transaction the one retry is spent."""
    if event["event_type"] == "REQUEUED":
        return bool(event["data"].get("charged"))
    return bool(event["event_type"] == CRASH_SUSPECTED)


def the_last_event_agrees_with_the_row(books: Books) -> Iterator[str]:
    for job_id, job in books.jobs.items():
        moves = [event for event in books.events.get(job_id, []) if event["event_type"] in MOVES]
        if not moves:
            yield f"Job {job_id} has no event that moved it."
            continue
        last = moves[-1]
        if last["to_status"] != job["status"]:
            yield f"Job {job_id} is {job['status']}, its last move says {last['to_status']}."
        told = last["data"].get("error")
        if job["status"] in TERMINAL and told is not None and told != job["error"]:
            yield f"Job {job_id}: its FAILED event tells another error than its envelope."


def events_never_change(books: Books) -> Iterator[str]:
    now = {event["id"]: event for event in books.evidence.events}
    for event_id, digest in books.evidence.seen_events.items():
        event = now.get(event_id)
        if event is None:
            yield f"Event {event_id} was there during the campaign and is gone."
        elif digest_of(event) != digest:
            yield f"Event {event_id} of job {event['job_id']} has been changed after it was written."
