"""The supervise loop of `run_node`: one node's engine, its keeper, its heartbeat; drains, heals, reconciles.

Runs in the main process of `manage.py run_node NAME`, around a django-q2 cluster with a single worker.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.db import connections
from django_q.cluster import Cluster
from django_q.models import OrmQ

from jobs.clock import database_now
from jobs.lifecycle import JobStatus
from jobs.models import Job, QueueControl, Runner
from jobs.queue.control import touch
from jobs.queue.holds import is_busy, takes_jobs
from jobs.queue.identity import ProcessIdentity
from jobs.queue.wakeup import cluster_name, kick, kick_again, kick_others, work_is_waiting
from jobs.supervising.engine_hearing import Hearing, Sight
from jobs.supervising.gc_tuning import calm_collector
from jobs.supervising.lack_watch import LackWatch
from jobs.supervising.leftover_request import settle
from jobs.supervising.process_guard import (
    bind_children_to_parent,
    kill_child,
    kill_tree,
    lock_node,
    node_lock,
    tree_of,
)
from jobs.supervising.reconcile import reconcile, reconcile_abandoned_nodes, requeue_uncharged
from jobs.supervising.storage_watch import StorageWatch
from jobs.supervising.tenure import Tenure
from webui.books import insist
from webui.circumstances import CIRCUMSTANCES
from webui.keeper.catalog_reader import CatalogReader
from webui.keeper.keeper import Keeper
from webui.log_fields import know
from webui.models import Node

logger = logging.getLogger(__name__)

LOOP_S = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SWITCH_S = 0.0005  # Turn of a thread while another one waits (Python's own default is 0.005).
#: An interrupted request that has not ended this long after its time was up is abandoned with its worker.
FORCE_AFTER_S = 10.0
#: Every so many loops the nodes of other hosts are looked at.
ABANDONED_EVERY = 30


class NodeSupervisor:
    """One node from start to exit. `run()` returns the exit status, or re-executes the process when deaf."""

    def __init__(self, node: Node, *, drain_s: float, stop_webui: bool, with_parent: bool) -> None:
        self.node = node
        self.drain_s = drain_s
        self.stop_webui = stop_webui
        self._parent_pid = os.getppid() if with_parent else None
        self._terms = 0
        self._drain_started: float | None = None
        self._hearing = Hearing(deaf_s=settings.STABLENEW_DEAF_S, suspect_s=settings.STABLENEW_DEAF_SUSPECT_S)
        self._loops = 0
        self._disk = StorageWatch()
        self._lacks = LackWatch()
        self._tenure = Tenure(node)
        self._superseded = False
        self._token_seen = self._asked = False
        self._unacknowledged_since: float | None = None

    def run(self) -> int:
        know(node=self.node.name)
        self._lock = lock_node(node_lock(self.node.pk))
        self.runner = insist(self._tenure.take)
        reconcile(self.runner, lambda owner: False)
        connections.close_all()
        bind_children_to_parent()
        self._cluster: Any = Cluster()
        # Its constructor takes these signals for itself; its handler would wait without an end.
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_term)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        # For the forks, which come next.
        calm_collector()
        # Threads of a run hand over to each other for moments; waiting 5 ms for a turn would be most of their time.
        sys.setswitchinterval(SWITCH_S)
        self._cluster.start()
        self._reader = CatalogReader(
            self.node.pk, is_idle=lambda: not self._is_busy(), may_read=self._tenure.holds
        )
        self._keeper = Keeper(
            self.node.pk, on_ready=self._on_ready, is_busy=self._is_busy, may_look=self._tenure.holds
        )
        self._keeper.start()
        self._reader.start()
        logger.info(
            "Node %s runs here.", self.node.name, extra={"event": "run_node.started", "node": self.node.name}
        )
        while True:
            if self._guarded_loop():
                return self._leave()
            time.sleep(LOOP_S if not self._terms else LOOP_S / 4)

    # --- start -------------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        kick(self.runner.pk)
        self._reader.hurry()

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        self._terms += 1

    # --- the loop ----------------------------------------------------------------------------------

    def _guarded_loop(self) -> bool:
        """A look that outlives what the database and the machine may do: its end would be that of the running job."""
        try:
            return self._loop()
        except CIRCUMSTANCES as exc:
            logger.warning(
                "The run_node of %s goes on after: %s",
                self.node.name,
                str(exc) or type(exc).__name__,
                exc_info=True,
                extra={"event": "run_node.error", "node": self.node.name, "error": type(exc).__name__},
            )
            connections.close_all()
            return False

    def _loop(self) -> bool:
        """One look; True when it is time to leave."""
        self._loops += 1
        if self._parent_pid is not None and os.getppid() != self._parent_pid:
            logger.warning("The process that started this run_node is gone; it drains and leaves.")
            self._parent_pid = None
            self._terms += 1
        # Also while processes cannot be looked at: this run_node and the job live on.
        if not self._tenure.renew():
            return self._give_up()
        self.runner = Runner.objects.select_related("node").get(pk=self.runner.pk)
        if self._terms:
            return self._drain()
        tree = self._tree()
        if not tree:
            self._reexecute("its engine died")
        if reconcile(self.runner, self._owns(tree)):
            # The wake-up that the lost worker had taken would stay in the engine's table for hours.
            self._ask()
        if self._loops % ABANDONED_EVERY == 0:
            reconcile_abandoned_nodes()
        if self.runner.must_quiet:
            settle(self.runner)
        self._disk.look(self.runner)
        self._reader.start()
        self._lacks.look(self.node.pk)
        self._listen(tree)
        return False

    def _give_up(self) -> bool:
        """The node was removed, or another host has taken it while this one slept: nothing of it is ours any more."""
        taken_by = Runner.objects.filter(pk=self.runner.pk).values_list("host_identity", flat=True).first()
        if taken_by is None:
            logger.info(
                "Node %s was removed; its run_node leaves.",
                self.node.name,
                extra={"event": "run_node.removed", "node": self.node.name},
            )
            return True
        logger.error(
            "Node %s is run by another host now; this run_node ends its django-q2 worker and leaves.",
            self.node.name,
            extra={"event": "run_node.superseded", "node": self.node.name, "host": taken_by},
        )
        kill_tree(self._tree())
        self._superseded = True
        return True

    def _tree(self) -> frozenset[tuple[int, int]]:
        """The engine's processes; none when its sentinel is gone.

        Not by asking multiprocessing: it takes a child that somebody else has reaped for a living one.
        """
        sentinel = self._cluster.sentinel
        return tree_of(sentinel.pid) if sentinel is not None and sentinel.pid else frozenset()

    def _owns(self, tree: frozenset[tuple[int, int]]) -> Callable[[ProcessIdentity], bool]:
        """A running job's owner lives exactly if it is a process of our tree (another host's is judged there)."""
        pids = {pid for pid, _ in tree}

        def is_alive(owner: ProcessIdentity) -> bool:
            return owner.pid in pids and owner.process() is not None

        return is_alive

    # --- hearing -----------------------------------------------------------------------------------

    def _listen(self, tree: frozenset[tuple[int, int]]) -> None:
        """Send the wake-ups that nobody sent, and find out whether the engine still hears and answers them."""
        runner, now = self.runner, time.monotonic()
        # A job that was handed over waits for a wake-up, too.
        busy = runner.lost_attempt_id is None and self._is_busy()
        due = runner.token_pending and not busy
        if self._token_seen and not runner.token_pending:
            self._hearing.answered(tree)
            self._token_seen = self._asked = False
        if self._hearing.look(Sight(answer_due=due, tree=tree), now):
            self._reexecute("its engine does not hear wake-ups")
        if self._hearing.suspicious and not busy and not self._asked:
            self._ask()
            return
        if runner.token_pending:
            self._token_seen = True
            if due and not self._tokens_in_table():
                kick_again(runner.pk)
            return
        self._expect_acknowledgements(busy, now)
        if not busy and runner.lost_attempt_id:
            self._token_seen = kick(runner.pk)
        elif not busy and self._work_waits():
            # Perhaps it is the turn of others, who are woken as well if nobody has done it.
            self._token_seen = runner.pk in kick_others(runner.node.kind)

    def _ask(self) -> None:
        """A killed process may have taken the engine's ears with it: find out before work waits for it."""
        self._forget_tokens()
        kick_again(self.runner.pk)
        self._token_seen = self._asked = True

    def _forget_tokens(self) -> None:
        OrmQ.objects.filter(key=cluster_name(self.node.name)).delete()

    def _expect_acknowledgements(self, busy: bool, now: float) -> None:
        """Answered wake-ups leave the engine's table at once; if they stay, nobody acknowledges any more."""
        if busy or not self._tokens_in_table():
            self._unacknowledged_since = None
            return
        if self._unacknowledged_since is None:
            self._unacknowledged_since = now
        if now - self._unacknowledged_since > settings.STABLENEW_DEAF_SUSPECT_S:
            self._reexecute("its engine does not acknowledge wake-ups")

    def _tokens_in_table(self) -> bool:
        return OrmQ.objects.filter(key=cluster_name(self.node.name)).exists()

    def _is_busy(self) -> bool:
        return Job.objects.filter(status=JobStatus.RUNNING, node_id=self.node.pk).exists()

    def _work_waits(self) -> bool:
        node, control = self.runner.node, QueueControl.objects.get(pk=QueueControl.SINGLETON_ID)
        may_claim = takes_jobs(self.runner, paused=control.paused) and not is_busy(node)
        return may_claim and work_is_waiting(node.pk, node.kind)

    def _reexecute(self, why: str) -> NoReturn:
        """Kill the engine's processes and start this program anew, in the same process; the WebUI lives on."""
        logger.error(
            "Node %s starts its engine anew: %s.",
            self.node.name,
            why,
            extra={"event": "run_node.reexecuted", "node": self.node.name, "reason": why},
        )
        kill_tree(self._tree())
        try:
            self._start_anew()
        except CIRCUMSTANCES as exc:
            # Without engine and keeper there is nothing to go on with; whoever started this program starts another.
            sys.exit(f"run_node cannot start itself anew ({exc}).")

    def _start_anew(self) -> NoReturn:
        self._reader.stop(deadline_s=1)
        self._keeper.stop(stop_webui=False, deadline_s=5)
        # From here on a TERM waits for the new program, which takes it when it can drain.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        if self._terms:
            sys.exit(self._leave())
        connections.close_all()
        sys.stdout.flush()
        sys.stderr.flush()
        # A new key is adopted once: another host may have another one by now.
        words = [word for word in sys.orig_argv[1:] if not word.startswith("--new")]
        os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - our own command line

    # --- the end -----------------------------------------------------------------------------------

    def _drain(self) -> bool:
        """No new claim; the running job may finish until its time is up, then it is interrupted and requeued."""
        now = time.monotonic()
        if self._drain_started is None:
            self._drain_started = now
            self._interrupt_in(self.drain_s)
            logger.info("Node %s drains.", self.node.name, extra={"event": "run_node.draining"})
        if self._terms > 1 and self.drain_s > 0:
            self.drain_s = 0
            self._drain_started = now
            self._interrupt_in(0)
        if not self._is_busy():
            return True
        tree = self._tree()
        if now - self._drain_started > self.drain_s + FORCE_AFTER_S or not tree:
            kill_tree(tree)
            requeue_uncharged(self.runner, reason="drain")
            return True
        reconcile(self.runner, self._owns(tree))
        return False

    def _interrupt_in(self, seconds: float) -> None:
        at = database_now() + timedelta(seconds=seconds)
        Runner.objects.filter(pk=self.runner.pk).update(draining=True, interrupt_at=at)
        touch()

    def _leave(self) -> int:
        """Engine first, so that nothing is claimed any more; then the WebUI, if it is to stop with us."""
        for step in (self._end_engine, self._end_keeper, self._tenure.leave):
            try:
                step()
            except CIRCUMSTANCES as exc:
                # What is not written down, the silence of its heartbeat says a little later.
                logger.warning("Node %s left before everything was done: %s", self.node.name, exc)
        logger.info(
            "Node %s left.", self.node.name, extra={"event": "run_node.stopped", "node": self.node.name}
        )
        return 1 if self._superseded else 0

    def _end_engine(self) -> None:
        try:
            tree = self._tree()
            if tree:
                # Setting the event of a sentinel that is gone would wait for it for ever.
                self._cluster.stop_event.set()
                self._cluster.sentinel.join(timeout=5)
            kill_tree(tree)
        except CIRCUMSTANCES:
            # The end of this process would wait for it; its own children die with it.
            kill_child(self._cluster.sentinel.pid)
            raise

    def _end_keeper(self) -> None:
        self._reader.stop(deadline_s=1)
        stop_webui = self.stop_webui and not self._superseded
        self._keeper.stop(stop_webui=stop_webui, deadline_s=settings.STABLENEW_STOP_GRACE_S + 5)
