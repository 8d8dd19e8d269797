"""The accounts: nothing lost, everything counted, every end explained, nothing left running."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from tests.fault.campaign.books import TERMINAL, Books, count_by, executed_posts, task_of
from tests.fault.campaign.evidence import Row

#: A request may be on its way when somebody asks.
CANCEL_SLACK = timedelta(seconds=2)
#: After one of these a payload and a tail must be on disk.
LEAVES_ARTIFACTS = frozenset({"server_error", "unavailable", "bad_answer", "rejected"})


def every_submitted_job_ended(books: Books) -> Iterator[str]:
    submitted = books.evidence.asked.submitted
    for job_id in sorted(submitted - books.jobs.keys()):
        yield f"Job {job_id} was submitted and is lost: it has no row."
    for job_id in sorted(books.jobs.keys() - submitted):
        yield f"Job {job_id} has a row, but nobody submitted it."
    for job_id, job in books.jobs.items():
        if job["status"] not in TERMINAL:
            yield f"Job {job_id} never ended: it is {job['status']}."


def the_ledger_and_the_history_agree(books: Books) -> Iterator[str]:
    counts = count_by(books.jobs.values(), "status")
    for control in books.evidence.control:
        for status in ("QUEUED", "RUNNING", *sorted(TERMINAL)):
            said, counted = control[status.lower()], counts.get(status, 0)
            if said != counted:
                yield f"The ledger says {said} {status}, the rows say {counted}."
        if control["submitted"] != len(books.evidence.asked.submitted):
            asked = len(books.evidence.asked.submitted)
            yield f"The ledger says {control['submitted']} submitted, the campaign submitted {asked}."
    for job_id, job in books.jobs.items():
        entries = books.history.get(job_id, [])
        wanted = int(job["status"] in TERMINAL)
        if len(entries) != wanted:
            yield f"Job {job_id} is {job['status']} and has {len(entries)} history entries instead of {wanted}."
        for entry in entries:
            yield from _entry_disagrees(job, entry)
    for job_id in sorted(books.history.keys() - books.jobs.keys()):
        yield f"The history tells of a job {job_id} that has no row."


def _entry_disagrees(job: Row, entry: Row) -> Iterator[str]:
    for column in ("status", "retry_count", "submitted_at", "started_at", "finished_at"):
        if entry[column] != job[column]:
            yield f"Job {job['id']}: history says {column} {entry[column]}, the row says {job[column]}."
    message = (job["error"] or {}).get("message", "")
    if entry["error_message"] != message:
        yield f"Job {job['id']}: history tells another error than its envelope."


def every_cancelled_job_was_asked_for(books: Books) -> Iterator[str]:
    for job_id, job in books.jobs.items():
        if job["status"] == "CANCELLED" and job_id not in books.evidence.asked.cancels:
            yield f"Job {job_id} is CANCELLED, but nobody asked for it."


def a_cancel_is_obeyed(books: Books) -> Iterator[str]:
    """CANCELLED, or ended before it could be; and nothing is sent for the job once its run has read of it."""
    for job_id, cancel in books.evidence.asked.cancels.items():
        job = books.jobs.get(job_id)
        if job is None:
            continue
        if cancel.result == "cancelled" and job["status"] != "CANCELLED":
            yield f"Job {job_id} was cancelled while it waited, and is {job['status']}."
        if cancel.result != "requested":
            continue
        for node, journal in books.evidence.journals.items():
            for post in executed_posts(journal):
                task = task_of(post)
                if task is not None and task[0] == job_id and post["time"] > cancel.at + CANCEL_SLACK:
                    yield f"Job {job_id} was asked to stop at {cancel.at:%H:%M:%S.%f}, and node {node} got {post['n']}."


def every_failure_explains_itself(books: Books) -> Iterator[str]:
    for job_id, job in books.jobs.items():
        envelope = job["error"]
        if job["status"] != "FAILED":
            if envelope:
                yield f"Job {job_id} is {job['status']} and carries an error envelope."
            continue
        if not isinstance(envelope, dict):
            yield f"Job {job_id} FAILED without an envelope."
            continue
        for name in ("code", "message", "remediation"):
            if not envelope.get(name):
                yield f"Job {job_id}: its envelope has no {name}."
        if envelope.get("code") == "INTERNAL_ERROR":
            yield f"Job {job_id} FAILED by a mistake of ours: {envelope.get('message')}"
        if job["error_code"] != envelope.get("code"):
            yield f"Job {job_id}: error_code is {job['error_code']!r}, the envelope says {envelope.get('code')!r}."
        yield from _artifacts_missing(books, job, envelope.get("artifact_paths") or [])


def poisoned_jobs_fail(books: Books) -> Iterator[str]:
    for job_id in sorted(books.evidence.asked.poisoned & books.jobs.keys()):
        if books.jobs[job_id]["status"] == "COMPLETED":
            yield f"Job {job_id} ends the WebUI whenever it is rendered, and is COMPLETED."


def _artifacts_missing(books: Books, job: Row, paths: list[str]) -> Iterator[str]:
    failed = [row for row in books.attempts.get(job["id"], []) if row["outcome"] in LEAVES_ARTIFACTS]
    if failed and not paths:
        yield f"Job {job['id']} FAILED after a {failed[-1]['outcome']} and its envelope names no artifact."
    named = [(path, "envelope") for path in paths]
    named += [(path, f"attempt {row['id']}") for row in failed for path in row["artifact_paths"] or []]
    for path, where in named:
        if not (books.evidence.output_root / path).is_file():
            yield f"Job {job['id']}: the artifact {path}, named by its {where}, does not exist."


def nothing_is_left_running(books: Books) -> Iterator[str]:
    for words in books.evidence.left:
        yield f"Still running after everything was stopped: {words}"
    yield from books.evidence.noticed
