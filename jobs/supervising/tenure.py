"""Who runs a node: one `run_node`, as the row of its runner says, and for as long as it says so.

A host may sleep and come back while another one runs its node. So nothing is judged, started or claimed before the row
has been seen to be ours since we last slept.
"""

from __future__ import annotations

import os
import time

from django.db import transaction
from django.db.models import QuerySet
from django_q.models import OrmQ

from jobs.clock import database_now
from jobs.errors import NodeBusyError
from jobs.models import Runner
from jobs.queue.control import touch
from jobs.queue.holds import is_alive
from jobs.queue.identity import host_identity
from jobs.queue.wakeup import cluster_name
from webui.models import Node

#: So long after a look the row is taken to be as it was: far less than a node is given away after.
FRESH_S = 3.0
#: What the supervisor itself writes of its runner's row when it takes it over.
OWN_COLUMNS = (
    "host_identity",
    "pid",
    "heartbeat_at",
    "draining",
    "interrupt_at",
    "token_pending",
    "progress",
)


class Tenure:
    """This process's hold on the row of one node's runner."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._seen_s = float("-inf")

    def take(self) -> Runner:
        """The row, ours from now on. Wake-ups of an earlier cluster are worthless. Raises `NodeBusyError`."""
        with transaction.atomic():
            runner, _ = Runner.objects.get_or_create(node=self._node)
            self._refuse_other_host(runner)
            runner.host_identity = host_identity()
            runner.pid = os.getpid()
            runner.heartbeat_at = database_now()
            runner.draining, runner.interrupt_at = False, None
            runner.token_pending = False
            runner.progress = None
            # Not the breaker's columns: somebody may just let it try a job.
            runner.save(update_fields=OWN_COLUMNS)
            OrmQ.objects.filter(key=cluster_name(self._node.name)).delete()
        self._seen_s = _awake_s()
        touch()
        return runner

    def _refuse_other_host(self, runner: Runner) -> None:
        if runner.host_identity in ("", host_identity()) or runner.heartbeat_at is None:
            return
        now = database_now()
        if is_alive(runner, now):
            age_s = (now - runner.heartbeat_at).total_seconds()
            raise NodeBusyError(
                f"Node {self._node.name} is run by another host (heartbeat {age_s:.0f} s ago)."
            )

    def renew(self) -> bool:
        """The heartbeat. False where the row is no longer ours: removed, or taken by another host."""
        ours = bool(self._row().update(heartbeat_at=database_now()))
        self._seen_s = _awake_s() if ours else float("-inf")
        return ours

    def holds(self) -> bool:
        """For other threads: whether the row was ours a moment ago, also by a clock that goes on while we sleep."""
        return _awake_s() - self._seen_s < FRESH_S or self._row().exists()

    def leave(self) -> None:
        """The row is free again, unless somebody else has taken it."""
        self._row().update(draining=False, interrupt_at=None, heartbeat_at=None, pid=None, progress=None)
        touch()

    def _row(self) -> QuerySet[Runner]:
        return Runner.objects.filter(node_id=self._node.pk, host_identity=host_identity(), pid=os.getpid())


def _awake_s() -> float:
    """Seconds of a clock that nobody sets and that does not stop while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
