"""Health: what is wrong, by name, and what to do about it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from diagnostics import health
from diagnostics.health import CheckResult
from jobs.lifecycle import JobStatus
from jobs.models import Job, Runner
from tests.factories import make_job, make_node, make_runner, make_user
from webui.models import NodeState, Wish

pytestmark = pytest.mark.django_db


def named(results: list[CheckResult]) -> dict[str, CheckResult]:
    return {result.name: result for result in results}


def test_everything_well_is_200(client: Client) -> None:
    make_runner(make_node("alpha"))
    answer = client.get(reverse("healthz"))
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "failing": [],
        "checks": {"database": True, "disk": True, "node:alpha": True, "worker:alpha": True},
    }


def test_lost_worker_is_503_by_name_and_with_what_to_do(client: Client) -> None:
    runner = make_runner(make_node("alpha"))
    Runner.objects.filter(pk=runner.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=2))
    answer = client.get(reverse("healthz"))
    assert answer.status_code == 503
    assert answer.json()["failing"] == ["worker:alpha"]
    assert "manage.py run_node alpha" in named(health.quick_checks())["worker:alpha"].remedy


def test_messages_are_told_only_after_a_login(client: Client) -> None:
    make_node("alpha", state=NodeState.FAILED, state_reason="it exits at once")
    assert "messages" not in client.get(reverse("healthz")).json()
    client.force_login(make_user())
    told = client.get(reverse("healthz")).json()
    assert told["messages"]["node:alpha"] == "alpha has failed: it exits at once."
    assert "manage.py node logs alpha" in told["remedies"]["node:alpha"]


@pytest.mark.parametrize("state", [state for state in NodeState if state != NodeState.READY])
def test_node_that_is_not_ready_says_what_to_do(state: NodeState) -> None:
    make_runner(make_node("alpha", state=state))
    result = named(health.quick_checks())["node:alpha"]
    assert not result.ok
    assert result.remedy


def test_node_that_somebody_stopped_says_who() -> None:
    make_runner(make_node("alpha", state=NodeState.STOPPED, wish=Wish.STOP, wish_by="ada"))
    assert named(health.quick_checks())["node:alpha"].message == "ada stopped alpha."


def test_no_node_at_all_is_a_failing_check() -> None:
    assert "manage.py up" in named(health.quick_checks())["node"].remedy


def test_database_that_does_not_answer_is_503_and_not_500(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OperationalError("could not connect to server")

    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get(reverse("healthz"))
    monkeypatch.undo()
    assert answer.status_code == 503
    assert answer.json()["failing"] == ["database"]


def test_data_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    result = health.check_disk(tmp_path / "missing")
    assert not result.ok
    assert "cannot be written (No such file or directory)" in result.message


def test_full_disk_says_how_much_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MIN_FREE_BYTES", 2**60)
    result = health.check_disk(tmp_path)
    assert not result.ok
    assert "GiB are free" in result.message


def test_ledger_check_compares_counters_with_rows() -> None:
    job = make_job()
    assert health.check_ledger().ok
    Job.objects.filter(pk=job.pk).update(status=JobStatus.CANCELLED, finished_at=timezone.now())
    result = health.check_ledger()
    assert not result.ok
    assert "queued 1, counted 0" in result.message
    assert "cancelled 0, counted 1" in result.message


def test_unreachable_webui_of_a_ready_node_is_found(settings: Settings) -> None:
    node = make_node("alpha", base_url="http://127.0.0.1:9")
    starting = make_node("beta", base_url="http://127.0.0.1:9", state=NodeState.STARTING)
    results = named(health.check_webuis([node, starting]))
    assert list(results) == ["webui:alpha"]
    assert not results["webui:alpha"].ok
    assert results["webui:alpha"].remedy


def test_checks_of_doctor_hold_the_quick_ones_and_more() -> None:
    make_runner(make_node("alpha", state=NodeState.STARTING))
    names = set(named(health.checks()))
    assert set(named(health.quick_checks())) < names
    assert {"settings", "migrations", "ledger"} < names


def test_health_is_cheap(client: Client) -> None:
    make_runner()
    with CaptureQueriesContext(connection) as caught:
        client.get(reverse("healthz"))
    assert len(caught) <= 3
