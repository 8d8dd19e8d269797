"""Finished jobs run again from the very same records."""

from __future__ import annotations

import pytest

from jobs.errors import RefusedError
from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import Job, QueueControl
from jobs.queue.control import cancel
from jobs.records.record import sha256_text
from jobs.submitting.reruns import finished_jobs, rerun
from tests.factories import make_job, make_pack, make_running_job, submit
from tests.integration.console import Console

pytestmark = pytest.mark.django_db(transaction=True)


def finished(count: int, **options: object) -> list[int]:
    ids = list(submit(repeat=count, **options).job_ids)  # type: ignore[arg-type]
    for job_id in ids:
        cancel(job_id, by="ann")
    return ids


def test_a_rerun_is_a_new_job_of_the_same_record() -> None:
    [old] = finished(1)
    [new] = rerun([old], by="ann")
    job, original = (Job.objects.select_related("record").get(pk=pk) for pk in (new, old))
    assert new != old
    assert (job.status, job.rerun_of_id) == (JobStatus.QUEUED, old)
    assert job.record_id == original.record_id
    assert sha256_text(job.record.canonical_json) == original.record.sha256
    assert original.status == JobStatus.CANCELLED
    submitted = job.events.get(event_type=EventType.SUBMITTED)
    assert (submitted.data["rerun_of"], submitted.data["by"], submitted.data["job_id"]) == (old, "ann", new)
    assert QueueControl.objects.get().queued == 1


def test_reruns_keep_order_and_priority() -> None:
    low = finished(2, priority=Priority.LOW)
    high = finished(1, priority=Priority.HIGH)
    new = rerun([*low, *high], by="ann")
    jobs = Job.objects.in_bulk(new)
    assert [jobs[pk].rerun_of_id for pk in new] == [*low, *high]
    assert [jobs[pk].priority for pk in new] == [Priority.LOW, Priority.LOW, Priority.HIGH]
    assert jobs[new[0]].position < jobs[new[1]].position


def test_one_job_that_cannot_run_again_queues_nothing_and_every_one_is_named() -> None:
    [old] = finished(1)
    running, _ = make_running_job()
    queued = make_job()
    before = Job.objects.count()
    with pytest.raises(RefusedError) as refused:
        rerun([old, running.pk, queued.pk, 4711], by="ann")
    messages = [problem.message for problem in refused.value.problems]
    assert [message.split(";")[0] for message in messages] == [
        f"Job {running.pk} is RUNNING",
        f"Job {queued.pk} is QUEUED",
        "There is no job 4711.",
    ]
    assert Job.objects.count() == before


def test_nothing_to_run_again_is_said() -> None:
    with pytest.raises(RefusedError, match="no job to run again"):
        rerun([], by="ann")


def test_finished_jobs_are_found_by_status_and_pack() -> None:
    mine = finished(2, revision=make_pack("mine"))
    finished(1, revision=make_pack("other"))
    make_job()
    assert finished_jobs(pack="mine") == mine
    assert finished_jobs(status="FAILED") == []
    assert len(finished_jobs(status="CANCELLED")) == 3


def test_the_command_runs_named_or_chosen_jobs_again(console: Console) -> None:
    old = finished(2, revision=make_pack("mine"))
    one = console.json("jobs", "rerun", old[0])
    assert one["jobs"] == [{"job": one["job_ids"][0], "rerun_of": old[0]}]
    both = console.json("jobs", "rerun", "--status", "cancelled", "--pack", "mine")
    assert [pair["rerun_of"] for pair in both["jobs"]] == old


def test_the_command_refuses_what_cannot_run_again_and_arguments_that_do_not_go_together(
    console: Console,
) -> None:
    queued = make_job()
    assert console.run("jobs", "rerun", queued.pk) == 1
    assert "only finished jobs" in console.err
    assert console.run("jobs", "rerun") == 2
    assert console.run("jobs", "rerun", queued.pk, "--status", "FAILED") == 2
    assert "one of the two" in console.err
