"""A process that cannot be looked at just now is not dead: nothing is judged, killed or started for it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from django.db import InterfaceError, OperationalError
from pytest_django import Settings

from jobs.lifecycle import JobStatus
from jobs.models import Job
from jobs.queue.identity import ProcessIdentity
from jobs.running.in_flight import REFUSALS
from jobs.supervising.process_guard import kill_tree, tree_of
from jobs.supervising.supervisor import NodeSupervisor
from tests.factories import make_node, make_running_job
from tests.integration.scripted_runs import execute, started
from tests.integration.scripted_webui import PATIENCE_S, Post, ScriptedWebUI, drawn
from webui.errors import WebUINotSentError
from webui.http.answer import HttpAnswer
from webui.keeper.catalog_reader import CatalogReader
from webui.keeper.keeper import Keeper
from webui.processes import process
from webui.processes.process import Identity
from webui.processes.start_ticks import start_ticks

ME = ProcessIdentity.of_self()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """This process can open nothing."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as begun:
        yield begun
        begun.kill()


def boot_of(child: subprocess.Popen[bytes]) -> Identity:
    return Identity(1, 1, "a nonce", child.pid, start_ticks(child.pid), process.machine_boot_id())


QUESTIONS: dict[str, Callable[[int, Identity, frozenset[tuple[int, int]]], object]] = {
    "start ticks": lambda pid, boot, tree: start_ticks(pid),
    "owner of a job": lambda pid, boot, tree: ME.process(),
    "who I am": lambda pid, boot, tree: ProcessIdentity.of_self(),
    "tree": lambda pid, boot, tree: tree_of(os.getpid()),
    "kill": lambda pid, boot, tree: kill_tree(tree),
    "main process": lambda pid, boot, tree: process.main_process(boot),
    "by its nonce": lambda pid, boot, tree: process.find_main(boot),
    "family": lambda pid, boot, tree: process.family(boot),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_without_a_descriptor_nothing_is_said_of_a_process(
    ask: Callable[[int, Identity, frozenset[tuple[int, int]]], object], child: subprocess.Popen[bytes]
) -> None:
    boot, tree = boot_of(child), tree_of(child.pid)
    # What psutil reads once and remembers.
    list(psutil.process_iter())
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files"):
        ask(child.pid, boot, tree)
    assert start_ticks(child.pid) is not None


@pytest.mark.parametrize(
    "place", ["webui.processes.process.start_ticks", "webui.processes.process.machine_boot_id"]
)
def test_webui_that_was_started_and_cannot_be_looked_at_is_found_later(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    boot = Identity(1, 1, "a nonce of its own")
    with monkeypatch.context() as patch:
        patch.setattr(place, blind(NO_DESCRIPTOR))
        begun = process.spawn(command, identity=boot, log_directory=tmp_path)
    try:
        found = process.find_main(boot)
        assert found is not None
        assert found.pid == begun.pid
    finally:
        process.end(replace(boot, pid=begun.pid), grace_s=0)


def test_process_that_has_ended_is_gone(child: subprocess.Popen[bytes]) -> None:
    boot = boot_of(child)
    child.kill()
    child.wait()
    assert start_ticks(child.pid) is None
    assert tree_of(child.pid) == frozenset()
    assert process.main_process(boot) is None


def blind(error: Exception) -> Callable[..., Any]:
    def look(*arguments: object) -> object:
        raise error

    return look


NO_DESCRIPTOR = OSError(errno.EMFILE, "Too many open files")


# --- the supervisor -----------------------------------------------------------------------------------------


class Reexecuted(Exception):  # noqa: N818 - tells a test what would have happened
    """The engine would have been started anew."""


@pytest.fixture
def supervisor(child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> NodeSupervisor:
    """Of a node with a running job, whose engine is `child`."""
    node = make_node()
    supervising = NodeSupervisor(node, drain_s=0.0, stop_webui=False, with_parent=False)
    supervising.runner = supervising._tenure.take()
    supervising._cluster = SimpleNamespace(sentinel=SimpleNamespace(pid=child.pid))
    supervising._keeper = Keeper(node.pk)
    supervising._reader = CatalogReader(node.pk, may_read=lambda: False)
    monkeypatch.setattr(supervising, "_reexecute", blind(Reexecuted()))
    make_running_job(supervising.runner)
    return supervising


PASSING = {
    "no descriptor": NO_DESCRIPTOR,
    "not allowed": psutil.AccessDenied(1),
    "no memory": MemoryError(),
    "database is away": OperationalError("gone"),
    "connection is gone": InterfaceError("closed"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("place", ["tree_of", "reconcile"])
def test_look_that_breaks_off_is_outlived_and_judges_no_job(
    supervisor: NodeSupervisor, error: Exception, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(f"jobs.supervising.supervisor.{place}", blind(error))
        assert not supervisor._guarded_loop()
    assert Job.objects.get().status == JobStatus.RUNNING


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "place", ["jobs.supervising.process_guard.start_ticks", "jobs.queue.identity.start_ticks"]
)
def test_living_engine_and_worker_whose_start_cannot_be_read_are_left_alone(
    supervisor: NodeSupervisor, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worker of the job is this very process.
    monkeypatch.setattr(supervisor, "_tree", lambda: tree_of(os.getpid()))
    owner = Job.objects.get().owner
    with monkeypatch.context() as patch:
        patch.setattr(place, blind(NO_DESCRIPTOR))
        assert not supervisor._guarded_loop()
    job = Job.objects.get()
    assert (job.status, job.owner, job.retry_count) == (JobStatus.RUNNING, owner, 0)
    assert not supervisor._guarded_loop()
    assert Job.objects.get().status == JobStatus.RUNNING


@pytest.mark.django_db(transaction=True)
def test_heartbeat_goes_on_while_processes_cannot_be_looked_at(
    supervisor: NodeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = supervisor.runner.heartbeat_at
    monkeypatch.setattr("jobs.supervising.supervisor.tree_of", blind(NO_DESCRIPTOR))
    assert not supervisor._guarded_loop()
    supervisor.runner.refresh_from_db()
    assert supervisor.runner.heartbeat_at is not None
    assert before is not None
    assert supervisor.runner.heartbeat_at > before


@pytest.mark.django_db(transaction=True)
def test_run_node_leaves_also_where_its_engine_cannot_be_looked_at(
    supervisor: NodeSupervisor, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a process waits for its forks: the engine must go."""
    monkeypatch.setattr("jobs.supervising.supervisor.tree_of", blind(NO_DESCRIPTOR))
    assert supervisor._leave() == 0
    assert child.wait(PATIENCE_S) == -signal.SIGKILL
    supervisor.runner.refresh_from_db()
    assert supervisor.runner.heartbeat_at is None


# --- the keeper ---------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", PASSING.values(), ids=PASSING)
def test_keeper_outlives_the_same(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(make_node().pk)
    monkeypatch.setattr(keeper, "look", blind(error))
    assert keeper._guarded_look() > 0


# --- a run --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("node", [{}, {"start_command": "webui.sh"}], ids=["attached", "ours"])
def test_request_goes_on_while_nothing_can_be_asked_nor_looked_at(
    node: dict[str, Any], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    monkeypatch.setattr("jobs.running.in_flight.FIRST_LOOK_S", 0.02)
    monkeypatch.setattr("jobs.running.in_flight.LOOK_S", 0.02)
    monkeypatch.setattr("jobs.running.in_flight.is_process_alive", blind(NO_DESCRIPTOR))
    looks, enough = [0], threading.Event()

    def drawn_later(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert enough.wait(PATIENCE_S)
        return drawn(webui, post)

    claim, webui, keeper = started(drawn_later, **node)
    act = webui._act

    def ask(endpoint: str, body: object) -> HttpAnswer:
        if endpoint != "/sdapi/v1/progress" or enough.is_set():
            return act(endpoint, body)
        looks[0] += 1
        if looks[0] > 2 * REFUSALS:
            enough.set()
        raise WebUINotSentError("Too many open files") from NO_DESCRIPTOR

    monkeypatch.setattr(webui, "_act", ask)
    try:
        job = execute(claim, webui, keeper)
    finally:
        enough.set()
    assert (job.status, job.retry_count, len(webui.posts)) == (JobStatus.COMPLETED, 0, 1)
    assert keeper.generations == []
