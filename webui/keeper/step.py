"""What one look at a node's WebUI does: take over, heed a wish, watch, and have it brought up where it is not.

The thread, the lock and the end belong to `keeper`; the way from not READY to READY to `startup`, a boot as row
and process to `boots`; whether a ready server is lost is seen in `vigil`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.conf import settings

from webui.keeper import boots, readiness
from webui.keeper.ready_watch import Vigil
from webui.keeper.start_watch import Purpose
from webui.keeper.startup import Startup
from webui.models import Node, NodeState, Wish
from webui.nodes import wishes
from webui.nodes.asking import told
from webui.processes import process

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25
RELOOK_S = 10.0
"""How often a failed or unreachable server is asked again."""
REFUSED_PATIENCE_S = 60.0
"""A process of ours that lives but refuses connections gets so long to answer again."""
LOGS_EVERY_S = 5.0
IDLE_LOOKS = 2
"""A claim may be on its way while the wish that forbids it is written; the next look sees its job."""


class Upkeep:
    """Looks at one node, a step at a time; remembers between looks only what the row does not hold."""

    def __init__(
        self,
        node_id: int,
        *,
        on_ready: Callable[[], None],
        is_busy: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        look_every_s: float = LOOK_EVERY_S,
        relook_s: float = RELOOK_S,
    ) -> None:
        self.node_id = node_id
        self._on_ready = on_ready
        self._is_busy = is_busy
        self._clock = clock
        self._look_every_s = look_every_s
        self._startup = Startup(on_ready=self._became_ready, clock=clock, relook_s=relook_s)
        self._vigil = Vigil(clock=clock)
        self._taken_over = False
        self._has_seen_ready = False
        self._idle_looks = 0
        self._logs_at = 0.0
        self._reached: tuple[str, str, str] | None = None

    def look(self) -> float:
        """Sees what is, does the one thing that is due, and returns the seconds until the next look.

        1. Read the row; a first look takes over what an earlier keeper left.
        2. Heed a wish of this generation, if it is time for it; drop one of an earlier generation.
        3. STOPPED by wish: nothing. STOPPED otherwise: start. READY: watch. Else: go on getting ready.
        4. Now and then: shorten the logs of the boot.
        """
        node = Node.objects.filter(pk=self.node_id).first()
        if node is None:
            return self._look_every_s
        if not self._taken_over:
            self._take_over(node)
            self._taken_over = True
        moved = self._moved(node)
        if not (node.wish and self._heed(node)):
            if moved and node.state != NodeState.STOPPED:
                self._startup.begin(node, moved, restart=False)
            elif node.state == NodeState.STOPPED:
                self._startup.begin(node, f"Waiting for the {node.noun} at {node.base_url}.", restart=False)
            elif node.state == NodeState.READY:
                self._watch(node)
            else:
                self._startup.go_on(node)
        if self._clock() >= self._logs_at:
            self._logs_at = self._clock() + LOGS_EVERY_S
            boots.shorten_logs(node)
        return readiness.CONNECT_EVERY_S if self._startup.under_way else self._look_every_s

    def _moved(self, node: Node) -> str:
        """That an attached server is reached otherwise than before; one of ours only moves by our own hand."""
        before, self._reached = self._reached, (node.base_url, node.driver, node.kind)
        if node.managed or before is None or before == self._reached:
            return ""
        if before[0] != node.base_url:
            return f"Its address is {node.base_url} now."
        if before[1] != node.driver:
            return f"Its driver is {node.driver} now."
        return f"It takes {node.get_kind_display().lower()} now."

    def begin_afresh(self) -> None:
        """After a look that broke off: a boot may have been begun and not written down."""
        self._taken_over = self._startup.under_way

    def shut_down(self, reason: str, *, grace_s: float) -> bool:
        """Ends the WebUI if it is ours; the next keeper starts it again. False if a process survived."""
        node = Node.objects.filter(pk=self.node_id).first()
        if node is None or not node.managed or node.adopted_foreign:
            return True
        if node.state == NodeState.STOPPED and not boots.has_processes(node):
            return True
        return self._end_node(node, reason, grace_s=grace_s)

    def _take_over(self, node: Node) -> None:
        """Adopts a living boot of ours; one whose process is gone is started anew; others are asked again."""
        if node.state == NodeState.STOPPED:
            return
        if not node.managed or node.adopted_foreign:
            if node.state == NodeState.READY and self._has_seen_ready:
                return
            purpose = Purpose.ADOPTED if node.managed else Purpose.ATTACHED
            self._startup.await_other(node, purpose, f"Checking that the {node.noun} still answers.")
            return
        if not boots.take_over(node):
            if node.wish != Wish.STOP and node.state != NodeState.FAILED:
                self._startup.begin(
                    node, f"Starting again: {boots.bury(node, seen=False)}", restart=node.generation > 0
                )
            return
        logger.info(
            "Adopted the %s of node %s, process %s.",
            node.noun,
            node.name,
            node.pid,
            extra={
                "event": "node.adopted",
                "node": node.name,
                "pid": node.pid,
                "generation": node.generation,
            },
        )
        if node.state == NodeState.READY:
            self._on_ready()
        elif node.state == NodeState.RESTARTING:
            self._startup.begin(node, node.state_reason, restart=True)
        else:
            self._startup.await_own(node, Purpose.BOOT, timeout_s=settings.STABLENEW_READY_TIMEOUT_S)

    # --- wishes -------------------------------------------------------------------------------------

    def _heed(self, node: Node) -> bool:
        """True if the wish settled this look. STOP stays in the row, as what the node is to be, until RUN."""
        if node.wish_generation is not None and node.wish_generation != node.generation:
            logger.info(
                "Dropped a wish to %s node %s: it meant generation %d, now is %d.",
                node.wish,
                node.name,
                node.wish_generation,
                node.generation,
                extra={"event": "node.wish_dropped", "node": node.name, "wish": node.wish},
            )
            wishes.clear_wish(node)
            return False
        if node.wish == Wish.STOP:
            if node.state != NodeState.STOPPED:
                self._end_node(node, told("Stopped", "by", node.wish_by, node.wish_reason))
            return True
        if node.wish == Wish.RESTART and self._startup.restarting:
            wishes.clear_wish(node, heeded=True)
            return False
        if node.wish == Wish.RESTART:
            if node.wish_after_job and self._must_wait_for_job():
                return False
            self._startup.begin_anew(node)
            why = told("Restarting", "for", node.wish_by, node.wish_reason)
            self._startup.begin(node, why, restart=True, by_wish=True)
        elif not self._startup.hurry() and node.state in (NodeState.STOPPED, NodeState.FAILED):
            self._startup.begin_anew(node)
            why = told("Starting", "for", node.wish_by, node.wish_reason)
            self._startup.begin(node, why, restart=False)
        # Who asked stays readable: a run may learn only now that its request was ended on purpose.
        wishes.clear_wish(node, heeded=node.wish == Wish.RESTART)
        return True

    def _must_wait_for_job(self) -> bool:
        self._idle_looks = 0 if self._is_busy() else self._idle_looks + 1
        if self._idle_looks < IDLE_LOOKS:
            return True
        self._idle_looks = 0
        return False

    def _end_node(self, node: Node, reason: str, *, grace_s: float | None = None) -> bool:
        self._startup.abandon()
        remaining = boots.end(node, reason, grace_s=grace_s).remaining
        if remaining:
            boots.write_state(node, NodeState.FAILED, f"Processes {remaining} of the {node.noun} do not end.")
            return False
        boots.write_state(node, NodeState.STOPPED, reason, adopted_foreign=False)
        return True

    # --- watching a ready one -----------------------------------------------------------------------

    def _watch(self, node: Node) -> None:
        own = node.managed and not node.adopted_foreign
        if own and not process.is_process_alive(node):
            self._startup.begin(node, f"Starting again: {boots.bury(node)}", restart=True)
            return
        problem = self._vigil.look(node)
        # A job of the old kind ends first.
        waits = self._vigil.is_of_another_kind and self._is_busy()
        if self._vigil.failure and not waits:
            self._startup.cannot_work(node, self._vigil.failure)
            return
        if problem is None:
            self._judge_silence(node, own=own)
            return
        # A ready server does not accept connections: the whole order of readiness begins again.
        if own:
            sentence = (
                f"The {node.noun} runs, but accepts no connections at {node.base_url} ({problem.strerror})."
            )
            boots.write_state(node, NodeState.STARTING, sentence)
            patience_s = min(REFUSED_PATIENCE_S, settings.STABLENEW_READY_TIMEOUT_S)
            self._startup.await_own(node, Purpose.OWN_AGAIN, timeout_s=patience_s)
        elif isinstance(problem, ConnectionRefusedError):
            self._startup.begin(node, readiness.unreachable_sentence(node.base_url, problem), restart=True)
        else:
            self._startup.lose_sight(node, readiness.unreachable_sentence(node.base_url, problem))

    def _judge_silence(self, node: Node, *, own: bool) -> None:
        """A server that answers nothing stands still; while a job runs there, its run judges that.

        It knows whether the server was drawing or loading.
        """
        silent_s = self._vigil.silent_s
        if silent_s is None or silent_s <= settings.STABLENEW_HANG_IDLE_S or self._is_busy():
            return
        sentence = f"It accepted connections and answered nothing for {silent_s:.0f} s."
        if own:
            self._startup.begin(node, f"Starting again: {sentence}", restart=True)
        else:
            self._startup.lose_sight(node, sentence)

    def _became_ready(self) -> None:
        self._has_seen_ready = True
        self._vigil.begin()
        self._on_ready()
