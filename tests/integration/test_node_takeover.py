"""How `run_node` takes a node over, and how the last writes of a run insist."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from jobs.errors import NodeBusyError
from jobs.models import Runner
from jobs.queue.wakeup import kick
from jobs.running.attempts import insist
from jobs.supervising.supervisor import NodeSupervisor
from tests.factories import make_node, make_runner

pytestmark = pytest.mark.django_db(transaction=True)


def take_over(runner: Runner) -> Runner:
    return NodeSupervisor(runner.node, drain_s=1, stop_webui=False, with_parent=False)._take_over()


def test_a_node_that_another_host_runs_is_refused() -> None:
    runner = make_runner(host_identity="another/host")
    with pytest.raises(NodeBusyError, match="another host"):
        take_over(runner)


def test_a_node_whose_host_is_long_silent_is_taken_over() -> None:
    runner = make_runner(host_identity="another/host")
    Runner.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=20))
    assert take_over(runner).host_identity != "another/host"


def test_wake_ups_of_an_earlier_engine_are_forgotten_but_not_those_of_other_nodes() -> None:
    mine, other = make_runner(make_node("mine"), draining=True), make_runner(make_node("other"))
    kick(mine.pk)
    kick(other.pk)
    runner = take_over(mine)
    assert [task.key for task in OrmQ.objects.all()] == ["node-other"]
    assert (runner.token_pending, runner.draining) == (False, False)


def test_a_write_is_repeated_while_the_database_is_away() -> None:
    failures = [OperationalError("locked"), OperationalError("locked")]

    def write() -> int:
        if failures:
            raise failures.pop()
        return 7

    assert insist(write) == 7


def test_a_write_is_given_up_when_the_lease_would_be_over(settings: Settings) -> None:
    settings.STABLENEW_LEASE_S = 0.3

    def write() -> None:
        raise OperationalError("away")

    with pytest.raises(OperationalError, match="away"):
        insist(write)
