"""The queue cleared at the start of `up`: what ends how, who keeps it from happening, and what a crash leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from jobs.bulk import acts
from jobs.errors import NodeBusyError
from jobs.lifecycle import EventType, JobStatus
from jobs.models import (
    AttemptOutcome,
    BulkAction,
    BulkVerb,
    HistoryEntry,
    Job,
    LifecycleEvent,
    QueueControl,
    Runner,
)
from jobs.queue.filters import JobFilter
from jobs.queue.identity import host_identity
from jobs.reading.event_sentences import event_text
from jobs.running.attempts import next_run_number, start_attempt
from jobs.supervising import leftover_request
from jobs.supervising.clearing import REASON, clear_queue
from jobs.supervising.process_guard import lock_node, node_lock
from tests.factories import make_node, make_pack, make_runner, make_running_job, submit
from tests.integration.finished_jobs import complete, fail
from tests.integration.test_reconcile import first_unit
from webui.errors import WebUINotSentError
from webui.models import Node
from webui.nodes.asking import START

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = 2**22 + 1
"""A pid that no process has."""


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_PROCESS_DIR = tmp_path / "processes"
    settings.STABLENEW_QUIET_S = 5


class Time:
    """Passes only while somebody sleeps."""

    def __init__(self, on_sleep: Callable[[], None] = lambda: None) -> None:
        self.now_s = 0.0
        self._on_sleep = on_sleep

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self._on_sleep()


def clear(time: Time | None = None) -> tuple[int, list[str]]:
    """How many jobs were cleared, and what was said."""
    said: list[str] = []
    time = time or Time()
    return clear_queue(said.append, clock=time.clock, sleep=time.sleep), said


def statuses() -> dict[str, int]:
    found: dict[str, int] = {}
    for status in Job.objects.values_list("status", flat=True):
        found[status] = found.get(status, 0) + 1
    return found


def lost_run(**node: Any) -> tuple[Job, Runner]:
    """A running job whose request is under way and whose worker is gone."""
    runner = make_runner(make_node(**node), host_identity=host_identity(), pid=NOBODY)
    job, claim = make_running_job(runner)
    number = next_run_number(claim.job)
    start_attempt(claim, first_unit(job), run_number=number, task_id=f"task-{job.pk}", announce=True)
    return job, runner


class Server:
    """Ends its request after some looks; None: never."""

    def __init__(self, looks: int | None = 1) -> None:
        self._looks = looks
        self.asked: list[tuple[str, bool]] = []

    def end_leftover(self, task_id: str, *, alone: bool) -> bool:
        self.asked.append((task_id, alone))
        return self._looks is not None and len(self.asked) >= self._looks


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    one = Server()
    monkeypatch.setattr(leftover_request, "connect", lambda node: one)
    return one


def test_every_job_that_has_not_ended_is_cancelled_and_says_why(server: Server) -> None:
    finished = make_runner(make_node("other"))
    submit(make_pack(), repeat=2)
    complete(finished)
    fail(finished)
    running, _ = lost_run()
    submit(make_pack(), repeat=3)
    cleared, _ = clear()
    assert cleared == 4
    assert statuses() == {"CANCELLED": 4, "COMPLETED": 1, "FAILED": 1}
    events = LifecycleEvent.objects.filter(event_type=EventType.CANCELLED)
    assert len(events) == 4
    for event in events:
        assert (event.data["by"], event.data["reason"]) == (START, REASON)
        assert event_text(EventType.CANCELLED, event.data) == f"The system cancelled it: {REASON}."
    assert HistoryEntry.objects.filter(status=JobStatus.CANCELLED).count() == 4
    control = QueueControl.objects.get()
    assert (control.queued, control.running, control.cancelled) == (0, 0, 4)
    attempt = running.attempts.get()
    assert (attempt.outcome, attempt.ended_at is None) == (AttemptOutcome.LOST, False)


def test_a_job_in_its_retry_is_cancelled_and_does_not_fail(server: Server) -> None:
    job, _ = lost_run()
    Job.objects.filter(pk=job.pk).update(retry_count=1, retry_after=0)
    clear()
    job.refresh_from_db()
    assert (job.status, job.error) == (JobStatus.CANCELLED, None)


def test_the_request_of_a_lost_run_is_ended_before_waiting_jobs_are_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, runner = lost_run()
    submit(make_pack())
    seen: list[dict[str, int]] = []

    class Watching(Server):
        def end_leftover(self, task_id: str, *, alone: bool) -> bool:
            seen.append(statuses())
            return super().end_leftover(task_id, alone=alone)

    watching = Watching(looks=3)
    monkeypatch.setattr(leftover_request, "connect", lambda node: watching)
    _, said = clear()
    assert watching.asked == [(f"task-{job.pk}", False)] * 3
    assert seen == [{"CANCELLED": 1, "QUEUED": 1}] * 3
    assert statuses() == {"CANCELLED": 2}
    assert not Runner.objects.get(pk=runner.pk).must_quiet
    assert said == [f"Node {runner.node.name} may still work on a request of an earlier run; it is ended."]


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_of_somebody_else_that_does_not_let_go_gets_no_job_until_it_has(
    monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    _, runner = lost_run()

    def connect(node: Node) -> Server:
        if not answers:
            raise WebUINotSentError("refused", endpoint="/")
        return Server(looks=None)

    monkeypatch.setattr(leftover_request, "connect", connect)
    cleared, said = clear()
    assert cleared == 1
    assert Runner.objects.get(pk=runner.pk).must_quiet
    assert (
        said[-1]
        == f"Node {runner.node.name} does not say that the request has ended. It takes no job until it has."
    )


def test_a_server_of_ours_that_is_gone_works_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, runner = lost_run(start_command="webui.sh")
    monkeypatch.setattr(leftover_request, "connect", lambda node: Server(looks=None))
    clear()
    assert not Runner.objects.get(pk=runner.pk).must_quiet


def test_nothing_is_left_to_clear_the_second_time(server: Server) -> None:
    lost_run()
    submit(make_pack(), repeat=3)
    assert clear()[0] == 4
    acts_before = BulkAction.objects.count()
    events = LifecycleEvent.objects.count()
    assert clear() == (0, [])
    assert (BulkAction.objects.count(), LifecycleEvent.objects.count()) == (acts_before, events)


def test_what_broke_off_in_the_middle_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setattr(acts, "CHUNK", 2)
    submit(make_pack(), repeat=7)
    real = acts.advance
    calls = iter(range(10))

    def dies(action_id: int) -> BulkAction:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(action_id)

    monkeypatch.setattr(acts, "advance", dies)
    with pytest.raises(KeyboardInterrupt):
        clear()
    assert statuses() == {"CANCELLED": 4, "QUEUED": 3}
    monkeypatch.setattr(acts, "advance", real)
    submit(make_pack())
    assert clear()[0] == 4
    assert statuses() == {"CANCELLED": 8}
    assert not acts.unfinished()
    assert set(
        LifecycleEvent.objects.filter(to_status="CANCELLED").values_list("data__reason", flat=True)
    ) == {REASON}


def test_an_act_of_a_person_is_left_to_that_person(server: Server) -> None:
    submit(make_pack(), repeat=2)
    other = acts.start(BulkVerb.BACK, JobFilter(), by="ada")
    clear()
    assert [act.pk for act in acts.unfinished()] == [other.pk]


def test_jobs_are_cancelled_in_chunks_and_progress_is_told(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setattr(acts, "CHUNK", 10)
    monkeypatch.setattr("jobs.supervising.clearing.TELL_EVERY", 20)
    submit(make_pack(), repeat=50)
    cleared, said = clear()
    assert cleared == 50
    assert said == ["20 waiting jobs are cancelled.", "40 waiting jobs are cancelled."]


def test_a_run_node_of_this_machine_is_waited_for(server: Server) -> None:
    _, runner = lost_run()
    Runner.objects.update(heartbeat_at=None)
    lock = lock_node(node_lock(runner.node_id))
    cleared, said = clear(Time(on_sleep=lock.release))
    assert cleared == 1
    assert said[0] == f"Node {runner.node.name} is still run by another process; waiting for its end."


def test_a_run_node_of_this_machine_that_stays_is_a_refusal(server: Server) -> None:
    submit(make_pack())
    _, runner = lost_run()
    lock = lock_node(node_lock(runner.node_id))
    try:
        with pytest.raises(NodeBusyError, match=f"node {runner.node.name} is run by another process of this"):
            clear()
    finally:
        lock.release()
    # From another data folder: its lock is another file.
    Runner.objects.update(heartbeat_at=timezone.now(), pid=os.getpid())
    with pytest.raises(NodeBusyError, match="STABLENEW_CLEAR_ON_START"):
        clear()
    assert statuses() == {"QUEUED": 1, "RUNNING": 1}
    assert not server.asked


@pytest.mark.parametrize(("silent_s", "runs"), [(1, False), (1, True), (60, True)])
def test_a_runner_of_another_host_that_lives_is_a_refusal(
    server: Server, silent_s: float, runs: bool
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("with SQLite every node is on this machine")
    if runs:
        lost_run(name="far")
    else:
        make_runner(make_node("far"))
    submit(make_pack())
    before = statuses()
    heard = timezone.now() - timedelta(seconds=silent_s)
    Runner.objects.update(host_identity="another/host", heartbeat_at=heard)
    with pytest.raises(NodeBusyError, match=r"node far is run by another host \(heartbeat \d+ s ago\)"):
        clear()
    assert statuses() == before


def test_a_runner_of_another_host_that_is_gone_is_no_refusal(server: Server) -> None:
    lost_run()
    make_runner(make_node(), host_identity="another/host")
    Runner.objects.update(host_identity="another/host", heartbeat_at=timezone.now() - timedelta(seconds=600))
    assert clear()[0] == 1
    make_runner(make_node(), host_identity="another/host")
    Runner.objects.update(heartbeat_at=None)
    assert clear()[0] == 0


def test_a_server_of_another_machine_is_left_to_its_own_run_node(server: Server) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("with SQLite every node is on this machine")
    _, runner = lost_run(start_command="webui.sh")
    Runner.objects.update(host_identity="another/host", heartbeat_at=timezone.now() - timedelta(seconds=600))
    clear()
    assert not server.asked
    assert Runner.objects.get(pk=runner.pk).must_quiet
