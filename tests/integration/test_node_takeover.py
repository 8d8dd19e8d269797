"""How `run_node` takes a node over and knows that it still has it, and how writes insist."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import (
    DatabaseError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from pytest_django import Settings

from jobs.errors import NodeBusyError, OtherSecretKeyError
from jobs.lifecycle import JobStatus
from jobs.models import Job, QueueControl, Runner
from jobs.queue import signing_key
from jobs.queue.claims import claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.queue.signing_key import fingerprint, prove_key
from jobs.queue.wakeup import kick
from jobs.supervising import tenure as tenure_module
from jobs.supervising.reconcile import reconcile
from jobs.supervising.tenure import Tenure
from tests.factories import make_job, make_node, make_runner
from tests.integration.database_errors import internal
from webui.books import NOT_NOW, insist

pytestmark = pytest.mark.django_db(transaction=True)


def take_over(runner: Runner) -> Runner:
    return Tenure(runner.node).take()


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


@pytest.mark.parametrize("away", [OperationalError, InterfaceError, *map(internal, NOT_NOW)])
def test_what_the_database_does_not_take_is_done_again_until_it_does(away: Callable[[str], Error]) -> None:
    failures, waited = [away("gone")] * 100, list[float]()

    def write() -> int:
        if failures:
            raise failures.pop()
        return 7

    assert insist(write, sleep=waited.append) == 7
    assert len(waited) == 100
    assert max(waited) == waited[-1] == 2.0


def test_what_must_not_be_done_twice_is_done_otherwise_again() -> None:
    done: list[str] = []

    def first() -> str:
        done.append("first")
        raise OperationalError("the connection broke when it was committed")

    assert insist(first, again=lambda: "second", sleep=lambda seconds: None) == "second"
    assert done == ["first"]


def test_table_that_is_not_there_is_not_waited_for() -> None:
    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM no_such_table")

    with pytest.raises(DatabaseError):
        insist(read)


@pytest.mark.parametrize("fault", [IntegrityError, InternalError, internal("25P02")])
def test_fault_of_the_program_is_not_waited_for(fault: Callable[[str], Error]) -> None:
    def write() -> None:
        raise fault("twice")

    with pytest.raises(Error, match="twice"):
        insist(write)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL ends these by itself")
@pytest.mark.parametrize(
    "limit",
    ["SET TRANSACTION READ ONLY", "SET LOCAL idle_in_transaction_session_timeout = '50ms'"],
)
def test_transaction_that_the_server_does_not_take_now_is_done_again(limit: str) -> None:
    runner = make_runner()
    limits = [limit]

    def write() -> int:
        with transaction.atomic():
            while limits:
                with connection.cursor() as cursor:
                    cursor.execute(limits.pop())
                time.sleep(0.5)
            return Runner.objects.filter(pk=runner.pk).update(draining=True)

    assert insist(write) == 1
    assert not limits


# --- a host that slept --------------------------------------------------------------------------------------


def slept(runner: Runner) -> Tenure:
    """This host took the node, slept, and meanwhile another host has taken it."""
    tenure = Tenure(runner.node)
    tenure.take()
    Runner.objects.filter(pk=runner.pk).update(
        host_identity="another/host", pid=7, heartbeat_at=timezone.now() + timedelta(seconds=1)
    )
    return tenure


def test_returning_host_sees_first_that_the_node_is_another_s() -> None:
    runner = make_runner()
    tenure = slept(runner)
    before = Runner.objects.get(pk=runner.pk)
    assert not tenure.renew()
    assert not tenure.holds()
    tenure.leave()
    after = Runner.objects.get(pk=runner.pk)
    assert (after.host_identity, after.pid, after.heartbeat_at) == ("another/host", 7, before.heartbeat_at)


def test_host_that_did_not_sleep_goes_on() -> None:
    runner = make_runner()
    tenure = Tenure(runner.node)
    tenure.take()
    assert tenure.renew()
    assert tenure.holds()


def test_thread_that_slept_asks_the_row_before_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = make_runner()
    tenure = slept(runner)
    assert tenure.holds()
    awake_s = tenure_module._awake_s()
    monkeypatch.setattr(tenure_module, "_awake_s", lambda: awake_s + 95)
    assert not tenure.holds()


def test_returning_host_judges_no_run_of_the_new_owner() -> None:
    runner = make_runner()
    mine = Tenure(runner.node).take()
    make_job()
    Runner.objects.filter(pk=runner.pk).update(host_identity="another/host", pid=7)
    claim = claim_next(runner.pk, ProcessIdentity("another/host", 8, 9))
    assert claim is not None
    assert reconcile(mine, lambda owner: False) == 0
    assert Job.objects.get(pk=claim.job_id).status == JobStatus.RUNNING
    assert reconcile(Runner.objects.get(pk=runner.pk), lambda owner: False) == 1


def test_silent_host_is_not_judged_if_it_gave_a_sign_of_life_meanwhile() -> None:
    runner = make_runner(host_identity="another/host")
    make_job()
    claim = claim_next(runner.pk, ProcessIdentity("another/host", 8, 9))
    assert claim is not None
    seen = Runner.objects.select_related("node").get(pk=runner.pk)
    Runner.objects.filter(pk=runner.pk).update(heartbeat_at=timezone.now() + timedelta(seconds=1))
    assert reconcile(seen, lambda owner: False, silent=True) == 0
    assert Job.objects.get(pk=claim.job_id).status == JobStatus.RUNNING


def test_worker_of_a_host_that_slept_claims_nothing() -> None:
    runner = make_runner(host_identity="another/host")
    make_job()
    assert claim_next(runner.pk, ProcessIdentity.of_self()) is None
    assert claim_next(runner.pk, ProcessIdentity("another/host", 8, 9)) is not None


# --- the key of wake-ups ------------------------------------------------------------------------------------


@pytest.fixture
def several_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_key, "connection", SimpleNamespace(vendor="postgresql"))


@pytest.mark.usefixtures("several_hosts")
def test_host_with_another_secret_key_is_refused_in_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove_key()
    prove_key()
    settings.SECRET_KEY = "the key of another machine" * 3
    with pytest.raises(OtherSecretKeyError, match="STABLENEW_SECRET_KEY"):
        prove_key()
    node = make_node("gpu1")
    # The command changes it for its process.
    monkeypatch.setattr(Conf, "CLUSTER_NAME", Conf.CLUSTER_NAME)
    with pytest.raises(CommandError, match="same STABLENEW_SECRET_KEY"):
        call_command("run_node", node.name)
    prove_key(adopt=True)
    prove_key()


def test_embedded_database_has_one_machine_whose_key_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_key, "connection", SimpleNamespace(vendor="sqlite"))
    prove_key()
    settings.SECRET_KEY = "a new one, because the file was lost" * 2
    prove_key()
    assert QueueControl.objects.get().key_fingerprint == fingerprint()
