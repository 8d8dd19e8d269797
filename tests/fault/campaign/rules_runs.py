"""The runs: one at a time, announced before they are sent, at most two because of failures, in order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tests.fault.campaign.books import (
    SAMPLING,
    TERMINAL,
    Books,
    Span,
    executed_posts,
    task_of,
)
from tests.fault.campaign.evidence import Row
from tests.fault.campaign.rules_events import is_charge

#: Outcomes that a failure ends an execution with; the others belong to the same execution or to a person.
FAILURES = frozenset({"server_error", "unavailable", "bad_answer", "lost", "error", "rejected"})
#: How a worker's driver marks another execution of one id; an attempt of its own may be called so, too.
AGAIN = re.compile(r"\.\d+$")
#: Between commit and arrival clocks and queues may differ by so much.
SLACK = timedelta(seconds=2)
#: A row may be locked at the moment of a claim, once per node and once more.
OVERTAKES = 3
#: So many later jobs are compared with each one.
LOOK_AHEAD = 200


def failures_cost_one_retry(books: Books) -> Iterator[str]:
    """Every charge is counted, one is all there is, and a failed execution is followed by a charge or the end."""
    for job_id, job in books.jobs.items():
        charges = sum(map(is_charge, books.events.get(job_id, [])))
        if charges != job["retry_count"]:
            yield f"Job {job_id}: {charges} events spend its one retry, the row counts {job['retry_count']}."
        went_on = [before["id"] for before, _ in books.taken_up(job_id)]
        failures = [
            row
            for row in books.attempts.get(job_id, [])
            if row["outcome"] in FAILURES and row["id"] not in went_on
        ]
        if len(failures) > 2:
            told = ", ".join(f"{row['stage']} {row['outcome']}" for row in failures)
            yield f"Job {job_id} failed {len(failures)} times ({told}); two is all there is."
        if len(failures) > job["retry_count"] and job["status"] == "COMPLETED":
            yield f"Job {job_id} is COMPLETED after {len(failures)} failures, but {job['retry_count']} was charged."


def no_job_runs_more_than_twice_because_of_failures(books: Books) -> Iterator[str]:
    """By the rows and, for each unit, by the journals; what an operator gave back is counted apart."""
    posted: Counter[tuple[int, int, int]] = Counter()
    for journal in books.evidence.journals.values():
        posted.update(task for post in executed_posts(journal) if (task := task_of(post)) is not None)
    for job_id, job in books.jobs.items():
        allowed = 2 + job["operator_requeues"]
        going_on = [after["id"] for _, after in books.taken_up(job_id)]
        runs = {row["run_number"] for row in books.attempts.get(job_id, []) if row["id"] not in going_on}
        if len(runs) > allowed:
            yield f"Job {job_id} was executed {len(runs)} times, {allowed} were allowed."
    for (job_id, stage, image), count in posted.items():
        allowed = 2 + books.jobs[job_id]["operator_requeues"] if job_id in books.jobs else 0
        if count > allowed:
            yield (
                f"Job {job_id}: the WebUIs got stage {stage}, picture {image} {count} times, {allowed} were allowed."
            )


def a_node_runs_one_job_at_a_time(books: Books) -> Iterator[str]:
    for kind in (books.running_spans(), books.attempt_spans()):
        for node, spans in kind.items():
            for one, other in overlaps(spans):
                yield (
                    f"Node {node} had jobs {one.job_id} ({one.what}) and {other.job_id} ({other.what}) "
                    f"at the same time, at {other.began:%H:%M:%S.%f}."
                )
    # A job is in one place at a time, too.
    by_job: dict[int, list[Span]] = {}
    for spans in books.running_spans().values():
        for span in spans:
            by_job.setdefault(span.job_id, []).append(span)
    for job_id, spans in by_job.items():
        if any(True for _ in overlaps(spans)):
            yield f"Job {job_id} had two runs at the same time."


def overlaps(spans: Sequence[Span]) -> Iterator[tuple[Span, Span]]:
    """Neighbours that went on at the same time."""
    latest: Span | None = None
    for span in sorted(spans, key=lambda one: one.began):
        if latest is not None and latest.overlaps(span):
            yield latest, span
        if latest is None or (latest.ended is not None and (span.ended is None or span.ended > latest.ended)):
            latest = span


def a_webui_gets_one_request_at_a_time(books: Books) -> Iterator[str]:
    """A request to sample that arrived while the same process still worked at an earlier one."""
    for node, journal in books.evidence.journals.items():
        answers = {(row["pid"], row["n"]): row for row in journal if row["event"] == "answer"}
        spans: dict[int, list[Span]] = {}
        for post in journal:
            task = task_of(post) if post["event"] == "post" else None
            answer = answers.get((post["pid"], post.get("n")))
            if task is None or answer is None or post["path"] not in SAMPLING:
                continue
            span = Span(task[0], post["time"], answer["time"], f"post {post['n']}")
            spans.setdefault(post["pid"], []).append(span)
        for one, other in (pair for several in spans.values() for pair in overlaps(several)):
            yield (
                f"Node {node}: {other.what} (job {other.job_id}) was sent while {one.what} (job {one.job_id}) "
                f"was still being rendered, at {other.began:%H:%M:%S.%f}."
            )


def every_post_was_announced(books: Books) -> Iterator[str]:
    """No request arrives that no attempt tells of, and none more often than attempts were started."""
    attempts: dict[str, list[Row]] = {}
    for row in books.evidence.attempts:
        attempts.setdefault(row["task_id"], []).append(row)
    for node, journal in books.evidence.journals.items():
        posts: dict[str, list[Row]] = {}
        # What a worker refuses is posted again in the same attempt, and was not executed.
        refused = {row["n"] for row in journal if row["event"] == "answer" and row["outcome"] == "refused"}
        for post in journal:
            if post["event"] == "post" and post["n"] not in refused and task_of(post) is not None:
                own = post["task_id"]
                posts.setdefault(own if own in attempts else AGAIN.sub("", own), []).append(post)
        for task_id, several in posts.items():
            announced = attempts.get(task_id, [])
            if len(several) > len(announced):
                yield (
                    f"Node {node} got {task_id} {len(several)} times, {len(announced)} attempts were announced."
                )
            for attempt, post in zip(announced, several, strict=False):
                if post["time"] < attempt["started_at"] - SLACK:
                    yield f"Node {node} got {task_id} before its attempt {attempt['id']} was committed."


def nothing_starts_after_the_end(books: Books) -> Iterator[str]:
    for job_id, job in books.jobs.items():
        if job["status"] not in TERMINAL or job["finished_at"] is None:
            continue
        for row in books.attempts.get(job_id, []):
            if row["started_at"] > job["finished_at"]:
                yield f"Job {job_id}: attempt {row['id']} ({row['stage']}) was started after the job had ended."
            if row["ended_at"] is None:
                yield f"Job {job_id} has ended, its attempt {row['id']} ({row['stage']}) has not."
        for row in books.outputs.get(job_id, []):
            if row["created_at"] > job["finished_at"] + SLACK:
                yield f"Job {job_id}: {row['path']} was accepted after the job had ended."


def the_first_comes_first(books: Books) -> Iterator[str]:
    """Among jobs of one kind and priority none is overtaken, as long as it waits for the first time.

    A row that is locked at the moment of a claim may be passed over, so a few overtakes prove nothing; nor do those
    of a time in which a node stood still, perhaps in the middle of its claim.
    """
    first: dict[int, datetime] = {}
    for job_id, events in books.events.items():
        start = next((event["at"] for event in events if event["event_type"] == "RUNNING"), None)
        if start is not None:
            first[job_id] = start
    waiting = sorted(first)
    for index, job_id in enumerate(waiting):
        lane = _lane(books.jobs[job_id])
        later = [
            other
            for other in waiting[index + 1 : index + LOOK_AHEAD]
            if first[other] < first[job_id]
            and _lane(books.jobs[other]) == lane
            and not any(
                began <= first[other] <= ended + SLACK for began, ended in books.evidence.asked.frozen
            )
        ]
        if len(later) >= OVERTAKES:
            yield f"Job {job_id} waited while the later jobs {later[:10]} were started."


def _lane(job: Row) -> tuple[str, int]:
    return job.get("kind", "image"), job["priority"]


def a_webui_is_never_doubled(books: Books) -> Iterator[str]:
    """No boot begins while an earlier one of ours still writes: such a node had two WebUIs."""
    foreign = books.evidence.asked.foreign_pids
    for node, journal in books.evidence.journals.items():
        newest: int | None = None
        replaced: set[int] = set()
        for row in journal:
            pid = row["pid"]
            if pid in foreign:
                continue
            if row["event"] == "start":
                if newest is not None and newest != pid:
                    replaced.add(newest)
                replaced.discard(pid)
                newest = pid
            elif pid in replaced:
                replaced.discard(pid)
                yield f"Node {node}: process {pid} still wrote ({row['event']}) after process {newest} had begun."
