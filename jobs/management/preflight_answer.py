"""What `submit_pack` says of what nodes lack: before it queues, and while it waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.models import Count

from jobs.building.builder import Build
from jobs.cli import CommandAnswer, node_named
from jobs.clock import database_now
from jobs.errors import RecordProblem
from jobs.lifecycle import TERMINAL, JobStatus
from jobs.models import Job
from jobs.queue.held_jobs import Lacking, held_sets, why_held
from jobs.queue.hold_words import Hold, hold_of_kind
from jobs.queue.holds import all_facts
from jobs.queue.lack_words import queue_remedy, reason
from jobs.submitting.preflight import OnMissing, Preflight, check, preflight
from jobs.submitting.preflight_words import ages, remedy, rendered_words, sentences, summary, why_refused
from jobs.submitting.submission import Submitted
from webui.words import count


def check_builds(builds: Sequence[Build], node: str | None, *, dry_run: bool) -> Preflight:
    """Of the node with this name, or of every node that may run what was built. Raises `CommandRefused`.

    A dry run of files needs no database: without one no node is known.
    """
    records = [record for made in builds for record in made.records]
    hashes = [digest for made in builds for digest in made.hashes]
    try:
        return preflight(records, hashes, node=None if node is None else node_named(node))
    except DatabaseError:
        if not dry_run or node is not None:
            raise
        return check(records, [])


def refusal(found: Preflight, on_missing: OnMissing) -> list[dict[str, Any]]:
    """Why nothing is queued, with what to do about it; nothing where all can run or the rest is not wanted."""
    refused = why_refused(found, on_missing)
    if refused:
        message = f"Nothing was queued. {summary(found)} {remedy()}"
        refused.insert(0, RecordProblem(code="missing_on_nodes", message=message))
    return [problem.model_dump(mode="json") for problem in refused]


def show_preflight(answer: CommandAnswer, found: Preflight) -> None:
    now = database_now()
    for line in (summary(found), *sentences(found, now), ages(found, now), rendered_words(found)):
        if line:
            answer.line(line)


def show_choice(answer: CommandAnswer, found: Preflight, on_missing: OnMissing) -> None:
    """What became of the records that no node can run."""
    if found.held:
        done = "left out" if on_missing is OnMissing.LEAVE_OUT else "queued all the same"
        were = "was" if len(found.held) == 1 else "were"
        answer.line(f"{count(len(found.held), 'record')} that no node can run {were} {done}.")


class WaitState(NamedTuple):
    """How the jobs of a submission stand: how many in each status, and why those that are left are all held."""

    counts: dict[str, int]
    lacking: dict[int, Lacking]
    """Empty while a job runs or can run."""


def wait_state(submitted: Submitted) -> WaitState:
    """What is held is read before the jobs: a job that ran between the two must not count as one that cannot."""
    sets = held_sets()
    jobs = Job.objects.filter(record__submission=submitted.submission, rerun_of=None).order_by()
    counts, left = Counter[str](), Counter[int]()
    all_held = True
    for status, kind, needs_id, number in jobs.values_list("status", "kind", "needs_id").annotate(
        number=Count("id")
    ):
        counts[status] += number
        if status == JobStatus.QUEUED and needs_id in sets.get(kind, ()):
            left[needs_id] += number
        elif status not in TERMINAL:
            all_held = False
    return WaitState(counts, why_held(left, left) if all_held and left else {})


def kinds_of(submitted: Submitted) -> list[str]:
    jobs = Job.objects.filter(record__submission=submitted.submission, rerun_of=None)
    return list(jobs.order_by("kind").values_list("kind", flat=True).distinct())


def no_workers_for(kinds: Sequence[str], counts: Mapping[str, int]) -> list[Hold]:
    """Those of these kinds that no node runs while some of the jobs wait and none runs."""
    if counts.get(JobStatus.RUNNING) or not counts.get(JobStatus.QUEUED):
        return []
    nodes = all_facts(database_now())
    return [hold for kind in kinds if (hold := hold_of_kind(kind, nodes))]


def show_held(answer: CommandAnswer, lacking: Mapping[int, Lacking]) -> None:
    """What is left cannot run until somebody does something about it."""
    told = Counter[str]()
    for one in lacking.values():
        told[reason(one)] += one.jobs
    answer.document["holds"] = [{"jobs": jobs, "reason": why} for why, jobs in told.most_common()]
    for why, jobs in told.most_common():
        answer.line(f"{count(jobs, 'job')} {'is' if jobs == 1 else 'are'} held: {why}")
    answer.line(queue_remedy(list(lacking.values())))
