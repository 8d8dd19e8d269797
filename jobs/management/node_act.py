"""Start, stop or restart of one node as a person asks for it: a wish, its keeper if nobody else is, and the wait."""

from __future__ import annotations

import sys
import time

from django.conf import settings

from jobs.cli import who
from jobs.errors import NodeFailedError, NodeKeeperSilentError, NodeStoppingError, NodeTimeoutError
from jobs.lifecycle import JobStatus
from jobs.models import Job
from webui.keeper.keeper import Keeper
from webui.keeper.restart_means import restart_means
from webui.models import Node, NodeState, Wish
from webui.nodes.wishes import was_in_vain, wish

VERBS = {"start": Wish.RUN, "stop": Wish.STOP, "restart": Wish.RESTART}
HEEDED_WITHIN_S = 15.0
"""A keeper that has not even begun with a wish after so long (plus the grace of a stop) is not there."""
POLL_S = 0.1


class NodeAct:
    """Start, stop or restart of one node: as its keeper while nobody else is, else by a wish."""

    def __init__(self, node: Node, verb: str, *, after_job: bool, timeout_s: float, quiet: bool) -> None:
        self._node = node
        self._verb = verb
        self._after_job = after_job
        # A stopped node has nothing to end first; and a restart does not override somebody's stop.
        self._wish = Wish.RUN if verb == "restart" and node.state == NodeState.STOPPED else VERBS[verb]
        self._seen = node.generation
        self._timeout_s = timeout_s
        self._quiet = quiet
        self._told = ""

    def run(self) -> str:
        """Says how it ended; raises NodeNotAsAskedError when it did not come about."""
        after_job = self._after_job and self._wish == Wish.RESTART
        if not wish(self._node.pk, self._wish, by=who(), reason=f"node {self._verb}", after_job=after_job):
            raise NodeStoppingError(
                f"Node {self._node.name} is being stopped. `node start {self._node.name}` starts it."
            )
        keeper = Keeper(self._node.pk)
        if keeper.take_lock():
            try:
                self._wait(keeper)
            finally:
                keeper.stop(stop_webui=False, deadline_s=0)
        else:
            self._wait(None)
        done = {"start": "is ready", "stop": "is stopped", "restart": "is ready again"}[self._verb]
        return f"Node {self._node.name} {done}: {self._node.state_reason}"

    def _wait(self, keeper: Keeper | None) -> None:
        """Until the node is as asked; refuses with the reason of the row when it fails or time is up."""
        began = time.monotonic()
        while True:
            pause_s = POLL_S if keeper is None else keeper.look()
            self._node.refresh_from_db()
            job_id = self._awaited_job() if keeper is None else None
            self._tell(job_id)
            if self._is_done():
                return
            if self._wish == Wish.RESTART and self._node.state == NodeState.READY and was_in_vain(self._node):
                raise NodeFailedError(self._named(self._node.state_reason))
            if job_id is not None:
                began = time.monotonic()  # a job may take longer than a start
            waited_s = time.monotonic() - began
            pending = self._node.wish == self._wish and self._wish != Wish.STOP
            if self._node.state == NodeState.FAILED and not pending:
                raise NodeFailedError(self._named(self._node.state_reason))
            if pending and waited_s > HEEDED_WITHIN_S + settings.STABLENEW_STOP_GRACE_S:
                raise NodeKeeperSilentError(self._named("Its keeper does not react."))
            if waited_s > self._timeout_s:
                words = f"Not done after {waited_s:.0f} s: {self._node.state_reason}"
                raise NodeTimeoutError(self._named(words))
            time.sleep(pause_s)

    def _is_done(self) -> bool:
        node = self._node
        if self._wish == Wish.STOP:
            return node.state == NodeState.STOPPED
        if node.wish or node.state != NodeState.READY:
            return False
        return self._wish == Wish.RUN or node.generation > self._seen

    def _awaited_job(self) -> int | None:
        """The running job that the restart waits for."""
        if not (self._node.wish == Wish.RESTART and self._node.wish_after_job):
            return None
        running = Job.objects.filter(status=JobStatus.RUNNING, node_id=self._node.pk)
        return running.values_list("pk", flat=True).first()

    def _tell(self, job_id: int | None) -> None:
        line = f"{self._node.state}: {self._node.state_reason}"
        if job_id is not None:
            line = f"Waiting for job {job_id} to end (--now restarts at once)."
        if line != self._told and not self._quiet:
            sys.stderr.write(f"{line}\n")
        self._told = line

    def _named(self, words: str) -> str:
        return f"Node {self._node.name}: {words}"


def how_restarted(node: Node) -> str:
    """In a sentence, after a change of the node."""
    when = "after its running job" if node.wish_after_job else restart_means(node)
    return f"It is restarted {when}."


def let_it_read(node: Node) -> str:
    """A worker reads its configuration file when it starts, whatever has changed in it."""
    if node.state != NodeState.STOPPED and wish(
        node.pk,
        Wish.RESTART,
        by=who(),
        reason="its configuration changed",
        generation=node.generation,
        after_job=True,
    ):
        node.refresh_from_db()
        return "Its worker is restarted after its running job and reads the file then."
    return "Its worker reads the file at its next start."
