"""What `submit_pack` says of what nodes lack: before it queues, and while it waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import DatabaseError
from django.db.models import Count

from jobs.building.builder import Build
from jobs.cli import CommandAnswer, node_named
from jobs.clock import database_now
from jobs.errors import RecordProblem
from jobs.lifecycle import JobStatus
from jobs.models import Job
from jobs.queue.held_jobs import Lacking, held, held_sets, why_held
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


def all_held(submitted: Submitted, counts: Mapping[str, int]) -> dict[int, Lacking]:
    """Why the jobs that are left wait, where each of them waits for what no node has; else nothing."""
    if counts.get(JobStatus.RUNNING) or not counts.get(JobStatus.QUEUED):
        return {}
    sets = held_sets()
    left = Job.objects.filter(record__submission=submitted.submission, rerun_of=None, status=JobStatus.QUEUED)
    if not sets or left.exclude(held(sets)).exists():
        return {}
    counted = {
        needs_id: jobs
        for needs_id, jobs in left.order_by().values_list("needs_id").annotate(jobs=Count("id"))
        if needs_id is not None
    }
    return why_held(counted, counted)


def show_held(answer: CommandAnswer, lacking: Mapping[int, Lacking]) -> None:
    """What is left cannot run until somebody does something about it."""
    told = Counter[str]()
    for one in lacking.values():
        told[reason(one)] += one.jobs
    answer.document["holds"] = [{"jobs": jobs, "reason": why} for why, jobs in told.most_common()]
    for why, jobs in told.most_common():
        answer.line(f"{count(jobs, 'job')} {'is' if jobs == 1 else 'are'} held: {why}")
    answer.line(queue_remedy(list(lacking.values())))
