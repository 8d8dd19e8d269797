"""How a run's wait for the restart ends: not ready, cancelled, drained, or taken over by somebody else."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, Runner
from jobs.queue.claims import Claim, claim_next
from jobs.queue.control import cancel
from jobs.queue.identity import ProcessIdentity
from tests.factories import make_job, make_node, make_runner
from tests.integration.scripted_runs import claim_again, events, execute, outcomes, started
from tests.integration.scripted_webui import (
    Act,
    ScriptedKeeper,
    ScriptedWebUI,
    after,
    dies,
    lost,
    says,
)
from webui.models import Node, Wish
from webui.nodes.asking import RUNNER
from webui.nodes.wishes import clear_wish, wish

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


def restart_has_failed(*later: Act) -> tuple[Claim, ScriptedWebUI, ScriptedKeeper]:
    """A job whose WebUI did not come back, with another one waiting; what its second claim will meet."""
    claim, webui, keeper = started(dies, *later)
    other = make_job()
    keeper.fails = True
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, job.operator_requeues) == (JobStatus.QUEUED, 1, 0)
    assert job.position < other.position
    assert events(job)[-2:] == [EventType.CRASH_SUSPECTED, EventType.REQUEUED]
    assert Runner.objects.get().crash_failures == 0
    webui.is_gone, keeper.fails = False, False
    return claim_again(claim), webui, keeper


def vanished() -> tuple[Claim, ScriptedWebUI, Job]:
    """A job whose attached server goes in the middle of it, beside another node; how it stands then."""
    claim, webui, keeper = started(dies)
    make_runner(make_node("other"))

    def next_looks() -> None:
        webui.is_gone = True

    keeper.meanwhile = next_looks
    return claim, webui, execute(claim, webui, keeper)


def test_job_of_a_vanished_server_goes_at_once_to_a_node_that_is_free() -> None:
    claim, _, job = vanished()
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 1)
    [given_back] = job.events.filter(event_type=EventType.REQUEUED)
    assert "another node is free" in given_back.data["reason"]
    first, other = Runner.objects.order_by("pk")
    assert (first.must_quiet, other.must_quiet) == (True, False)
    assert first.suspect_task_id == job.attempts.get().task_id
    assert claim_next(first.pk, ProcessIdentity.of_self()) is None
    again = claim_next(other.pk, ProcessIdentity.of_self())
    assert again is not None
    assert again.job_id == claim.job_id


def test_job_of_a_vanished_server_waits_while_no_other_node_would_take_it() -> None:
    claim, webui, keeper = started(dies)
    other = make_runner(make_node("other", kind="edit"))

    def then_one_is_free() -> None:
        Node.objects.filter(pk=other.node_id).update(kind="image")
        connection.close()

    keeper.meanwhile = lambda: threading.Timer(0.6, then_one_is_free).start()
    assert execute(claim, webui, keeper).status == JobStatus.QUEUED
    assert Node.objects.get(pk=other.node_id).kind == "image"


def test_a_job_whose_restart_failed_keeps_its_retry_for_the_next_claim() -> None:
    again, webui, keeper = restart_has_failed()
    job = execute(again, webui, keeper)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 1, [1])
    assert list(job.attempts.order_by("id").values_list("run_number", flat=True)) == [1, 2]
    [started_again] = job.events.filter(event_type=EventType.RETRY_STARTED)
    assert (started_again.data["run_number"], started_again.data["from_stage_1"]) == (2, False)


def test_a_crash_at_the_next_claim_is_the_last_one() -> None:
    again, webui, keeper = restart_has_failed(says(500))
    job = execute(again, webui, keeper)
    assert (job.status, job.error_code, len(webui.posts)) == (JobStatus.FAILED, "WEBUI_SERVER_ERROR", 2)
    assert keeper.generations == [1]


def waiting_for_the_restart(meanwhile: Callable[[Claim], object]) -> tuple[Job, Claim]:
    """A crash, and something that happens while its restart takes for ever; the job afterwards."""
    claim, webui, keeper = started(dies)
    keeper.meanwhile = lambda: meanwhile(claim)
    job = execute(claim, webui, keeper)
    assert len(webui.posts) == 1
    return job, claim


def test_a_cancel_counts_at_once_while_the_restart_is_awaited() -> None:
    job, _ = waiting_for_the_restart(lambda claim: cancel(claim.job_id, by="ann"))
    assert (job.status, events(job)[-1]) == (JobStatus.CANCELLED, EventType.CANCELLED)


def test_a_drain_gives_the_waiting_job_back_uncharged_and_its_retry_is_still_due() -> None:
    def drain(claim: Claim) -> None:
        Runner.objects.filter(pk=claim.runner_id).update(draining=True, interrupt_at=timezone.now())

    job, claim = waiting_for_the_restart(drain)
    assert (job.status, job.retry_count, job.operator_requeues) == (JobStatus.QUEUED, 1, 1)
    assert job.events.get(event_type=EventType.REQUEUED).data["charged"] is False
    Runner.objects.update(draining=False, interrupt_at=None)
    webui = ScriptedWebUI()
    job = execute(claim_again(claim), webui, ScriptedKeeper(webui))
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 1)


@pytest.mark.parametrize(("by", "charged"), [("ann", 0), (RUNNER, 1)])
def test_a_restart_at_once_by_a_person_charges_nobody_however_quick_the_keeper_was(
    by: str, charged: int
) -> None:
    claim, webui, keeper = started()

    def carried_out() -> None:
        wish(claim.node_id, Wish.RESTART, by=by, reason="", generation=claim.node.generation)
        row = Node.objects.get()
        clear_wish(row, heeded=True)
        Node.objects.filter(pk=row.pk).update(generation=row.generation + 1)

    webui.script = (after(carried_out, lost),)
    job = execute(claim, webui, keeper)
    assert (job.retry_count, job.operator_requeues) == (charged, 1 - charged)
    assert job.status == (JobStatus.COMPLETED if charged else JobStatus.QUEUED)


def test_a_run_that_was_taken_over_while_it_waits_writes_nothing_more() -> None:
    def take_over(claim: Claim) -> None:
        Job.objects.filter(pk=claim.job_id).update(run_token=uuid.uuid4())

    job, _ = waiting_for_the_restart(take_over)
    assert job.status == JobStatus.RUNNING
    assert events(job) == [EventType.STAGE_STARTED, EventType.CRASH_SUSPECTED]
    assert outcomes(job) == ["unavailable"]
    assert not job.outputs.exists()
    assert Node.objects.get().wish == ""
