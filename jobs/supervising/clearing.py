"""The whole queue cleared at the start of `up` (`STABLENEW_CLEAR_ON_START`): nothing of before goes on.

Called once, before anything else of this installation runs. What breaks off in the middle is gone on with by the next
start: each step finds only what is left of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Final

import psutil
from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from jobs.bulk import acts
from jobs.clock import database_now
from jobs.errors import NodeBusyError
from jobs.lifecycle import JobStatus
from jobs.models import BulkVerb, Job, Runner
from jobs.queue.filters import JobFilter
from jobs.queue.holds import is_alive
from jobs.queue.identity import host_identity
from jobs.queue.positions import waiting
from jobs.supervising.leftover_request import end_now
from jobs.supervising.process_guard import lock_node, node_lock
from jobs.supervising.reconcile import reconcile
from webui.models import Node
from webui.nodes.asking import START

REASON: Final = "cleared at the start (STABLENEW_CLEAR_ON_START)"
#: The children of an `up` that was killed end by themselves in this time.
PATIENCE_S: Final = 30.0
LOOK_EVERY_S: Final = 0.5
#: Jobs between two lines that tell how far it is.
TELL_EVERY: Final = 10_000

Say = Callable[[str], None]


def clear_queue(
    say: Say, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Cancel every job that has not ended, and end what servers still do for one; how many jobs there were.

    Raises `NodeBusyError`, before anything has changed, where somebody else still runs jobs.
    """
    _refuse_other_hosts()
    with _nobody_runs(say, clock=clock, sleep=sleep):
        # Again: waiting may have taken a while.
        _refuse_other_hosts()
        told = {"by": START, "reason": REASON}
        cleared = sum(
            reconcile(runner, lambda owner: False, silent=True, cancelled=told) for runner in _runners()
        )
        for runner in _runners().filter(must_quiet=True):
            _end_leftover(runner, say, clock=clock, sleep=sleep)
        return cleared + _cancel_waiting(say)


def _end_leftover(
    runner: Runner, say: Say, *, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """A node that does not get quiet takes no job until it is: its `run_node` goes on with it."""
    name = runner.node.name
    if runner.node.managed and _is_elsewhere(runner):
        # Its address may be that of another server here.
        return
    say(f"Node {name} may still work on a request of an earlier run; it is ended.")
    if not end_now(runner, clock=clock, sleep=sleep):
        say(f"Node {name} does not say that the request has ended. It takes no job until it has.")


def _runners() -> QuerySet[Runner]:
    return Runner.objects.select_related("node").order_by("node__name")


def _cancel_waiting(say: Say) -> int:
    """In chunks of one short transaction each; an act that an earlier start did not end goes first."""
    begun = [act for act in acts.unfinished() if act.asked_by == START]
    if waiting().exists():
        begun.append(acts.start(BulkVerb.CANCEL, JobFilter(), by=START, reason=REASON))
    cleared = 0
    for act in begun:
        before = act.done
        for now in acts.run(act):
            done, told = now.done - before, (act.done - before) // TELL_EVERY
            if done // TELL_EVERY > told:
                say(f"{cleared + done:,} waiting jobs are cancelled.")
            act = now
        cleared += act.done - before
    return cleared


# --- who else runs jobs -----------------------------------------------------------------------------------------


def _refuse_other_hosts() -> None:
    now = database_now()
    for runner in filter(_is_elsewhere, _runners()):
        if is_alive(runner, now) or _may_come_back(runner, now):
            raise NodeBusyError(
                f"The queue is not cleared: node {runner.node.name} is run by another host "
                f"(heartbeat {_age_s(runner, now):.0f} s ago). Stop its run_node, or unset STABLENEW_CLEAR_ON_START."
            )


def _is_elsewhere(runner: Runner) -> bool:
    """Never on an embedded database: there every node is on this machine."""
    return connection.vendor != "sqlite" and runner.host_identity not in ("", host_identity())


def _may_come_back(runner: Runner, now: datetime) -> bool:
    """A host that is silent for a moment may still run its job."""
    lost_after = timedelta(seconds=settings.STABLENEW_FOREIGN_LEASE_S)
    return (
        runner.heartbeat_at is not None
        and now - runner.heartbeat_at < lost_after
        and Job.objects.filter(status=JobStatus.RUNNING, node_id=runner.node_id).exists()
    )


def _age_s(runner: Runner, now: datetime) -> float:
    return 0.0 if runner.heartbeat_at is None else (now - runner.heartbeat_at).total_seconds()


@contextmanager
def _nobody_runs(say: Say, *, clock: Callable[[], float], sleep: Callable[[float], None]) -> Iterator[None]:
    """Every node of this machine held, so that nothing of it is claimed meanwhile. Raises `NodeBusyError`."""
    until_s = clock() + PATIENCE_S
    with ExitStack() as held:
        for node in Node.objects.order_by("name"):
            told = False
            while not _is_taken(node, held):
                if clock() >= until_s:
                    raise NodeBusyError(
                        f"The queue is not cleared: node {node.name} is run by another process of this machine. "
                        "Stop its run_node, or unset STABLENEW_CLEAR_ON_START."
                    )
                if not told:
                    say(f"Node {node.name} is still run by another process; waiting for its end.")
                    told = True
                sleep(LOOK_EVERY_S)
        yield


def _is_taken(node: Node, held: ExitStack) -> bool:
    """Whether the node is ours now: its lock, and no `run_node` of another data folder lives."""
    try:
        lock = lock_node(node_lock(node.pk))
    except NodeBusyError:
        return False
    runner = Runner.objects.filter(node=node, host_identity=host_identity()).first()
    if (
        runner is not None
        and is_alive(runner, database_now())
        and runner.pid
        and psutil.pid_exists(runner.pid)
    ):
        lock.release()
        return False
    held.callback(lock.release)
    return True
