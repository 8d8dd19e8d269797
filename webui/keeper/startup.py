"""From not READY to READY: start, restart, await, and try again after what failed; every step is written.

When this is to begin, and what a READY server needs, is decided in `upkeep`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.utils import timezone

from webui.http import ports
from webui.keeper import boots, readiness, restart_means, start_watch
from webui.keeper.ready_watch import CONNECT_CHECK_S
from webui.keeper.restart_means import RestartWalk
from webui.keeper.start_watch import Purpose, Walk, WalkEnding
from webui.models import Node, NodeState
from webui.nodes import wishes
from webui.nodes.start_backoff import Tries
from webui.words import ended
from webui.work.told import UNKNOWN_MEMORY

logger = logging.getLogger(__name__)

MOST_FAILED_STARTS = 9_999
NOT_BY_US = "It was not restarted: somebody else started it. Restart it where it was started."
LOST = "It did not answer any more; waiting until it does again."


class Startup:
    """Brings one node's server up, a step at a time; `on_ready` is called when it answers."""

    def __init__(self, *, on_ready: Callable[[], None], clock: Callable[[], float], relook_s: float) -> None:
        self._on_ready = on_ready
        self._clock = clock
        self._relook_s = relook_s
        self._walk: Walk | None = None
        self._restart: RestartWalk | None = None
        self._why_restarted = self._not_restarted = ""
        self._tries = Tries(clock=clock)
        self._look_again_at = 0.0

    @property
    def under_way(self) -> bool:
        """Something is awaited that needs frequent looks."""
        return self._walk is not None or self._restart is not None

    @property
    def restarting(self) -> bool:
        """A server that is not our process is just being restarted: who wishes it now gets that."""
        return self._restart is not None

    def abandon(self) -> None:
        self._walk = self._restart = None

    def hurry(self) -> bool:
        """What is awaited is tried at once; False if nothing is."""
        if self._walk is not None:
            self._walk.steps.hurry()
        return self.under_way

    def begin_anew(self, node: Node) -> None:
        """Somebody asked: what failed before is no reason to make him wait, or to send him away."""
        self._tries.reset()
        if node.failed_starts:
            boots.write(node, failed_starts=0)

    def begin(self, node: Node, reason: str, *, restart: bool, by_wish: bool = False) -> None:
        """A new boot of a managed node; of any other server, waiting until it is there again."""
        self.abandon()
        self._not_restarted = ""
        if not node.managed:
            self._begin_attached(node, reason, restart=restart, by_wish=by_wish)
            return
        host, port = ports.endpoint(node.base_url)
        if node.adopted_foreign and by_wish and restart and _accepts(host, port):
            self._not_restarted = NOT_BY_US
            self.await_other(node, Purpose.ADOPTED, NOT_BY_US)
            return
        if node.adopted_foreign:
            boots.lose(node, reason)
        if boots.has_processes(node):
            boots.write_state(node, NodeState.RESTARTING, reason)
            remaining = boots.end(node, reason).remaining
            if remaining:
                self._start_failed(
                    node, f"Processes {remaining} of the {node.noun} do not end. End them by hand."
                )
                return
        elif by_wish and node.pid is not None:
            # Whoever asked has met its death before this keeper has looked.
            boots.bury(node)
        if _accepts(host, port):
            if not node.simulated or node.adopted_foreign or node.state == NodeState.FAILED:
                self._meet_stranger(node, port)
                return
            boots.move_to_free_port(node)
        try:
            boots.begin(node, reason, restart=restart)
        except boots.BootError as exc:
            self._start_failed(node, str(exc))
            return
        self.await_own(node, Purpose.BOOT, timeout_s=settings.STABLENEW_READY_TIMEOUT_S)

    def _begin_attached(self, node: Node, reason: str, *, restart: bool, by_wish: bool) -> None:
        """A generation is counted when the one before was seen to go, not because somebody wishes it."""
        if restart and by_wish:
            self._why_restarted = reason
            boots.write_state(node, NodeState.RESTARTING, reason)
            self._restart = restart_means.begin(node, clock=self._clock)
            return
        _next_attached(node, LOST if restart else reason, because=reason, restart=restart)
        self.await_other(node, Purpose.ATTACHED, reason)

    def lose_sight(self, node: Node, reason: str) -> None:
        """A server of others does not answer, and nobody has seen it end: its generation may go on."""
        self.abandon()
        self._not_restarted = ""
        self.await_other(node, Purpose.ADOPTED if node.managed else Purpose.ATTACHED, reason)

    def _go_on_restarting(self, node: Node, restart: RestartWalk) -> None:
        done = restart.step()
        if done is None:
            return
        self._restart = None
        self._not_restarted = done.problem
        if done.problem:
            logger.warning(
                "Node %s: %s",
                node.name,
                done.problem,
                extra={"event": "node.not_restarted", "node": node.name, "generation": node.generation},
            )
        else:
            _next_attached(node, self._why_restarted, because=self._why_restarted, restart=True)
        self.await_other(
            node, Purpose.ATTACHED, done.problem or f"Waiting for {node.base_url} after its restart."
        )

    def _start_failed(self, node: Node, sentence: str) -> None:
        pause_s = self._tries.start_failed()
        self._try_failed(node, f"{ended(sentence)} Trying again in {pause_s:g} s.")

    def _try_failed(self, node: Node, reason: str, *, look_again_s: float = CONNECT_CHECK_S) -> None:
        """One more try that did not end in READY; who waits for it counts them."""
        self._walk = None
        self._look_again_at = self._clock() + min(look_again_s, self._relook_s)
        failed = min(node.failed_starts + 1, MOST_FAILED_STARTS)
        boots.write_state(node, NodeState.FAILED, reason, failed_starts=failed)

    # --- awaiting -----------------------------------------------------------------------------------

    def await_own(
        self, node: Node, purpose: Purpose, *, timeout_s: float | None, delay_s: float = 0.0
    ) -> None:
        self._walk = start_watch.to_own(
            node, purpose, clock=self._clock, timeout_s=timeout_s, delay_s=delay_s
        )

    def await_other(self, node: Node, purpose: Purpose, reason: str) -> None:
        """Waits for a server that is not our process; the state tells that it cannot be used meanwhile."""
        self._walk = start_watch.to_other(node, purpose, clock=self._clock, patience_s=self._relook_s)
        if node.state not in (NodeState.UNREACHABLE, NodeState.FAILED):
            boots.write_state(node, NodeState.UNREACHABLE, reason)

    def _meet_stranger(self, node: Node, port: int) -> None:
        """Somebody else's process holds the port of a node that we would start: is it a WebUI?"""
        self._walk = start_watch.to_other(
            node, Purpose.STRANGER, clock=self._clock, patience_s=self._relook_s
        )
        if node.state != NodeState.FAILED:
            who = ports.holder(port) or "somebody else's process"
            boots.write_state(
                node,
                NodeState.STARTING,
                f"{who} listens at {node.base_url}: asking whether it is a {node.noun}.",
            )

    def go_on(self, node: Node) -> None:
        if self._restart is not None:
            self._go_on_restarting(node, self._restart)
            return
        if self._walk is None:
            self._look_again(node)
            return
        walk = self._walk
        match walk.step():
            case WalkEnding.READY:
                self._became_ready(node, walk)
            case WalkEnding.DIED:
                self._own_is_gone(node, walk, boots.bury(node))
            case WalkEnding.LATE:
                boots.write_state(
                    node,
                    NodeState.RESTARTING,
                    f"Ending a {node.noun} that did not become ready in time.",
                )
                sentence = _late_sentence(node, walk)
                boots.end(node, sentence)
                self._own_is_gone(node, walk, sentence)
            case WalkEnding.WRONG_PASSWORD | WalkEnding.WITHOUT_API | WalkEnding.CANNOT_WORK as ending:
                self._is_of_no_use(node, walk, ending)
            case WalkEnding.NO_WEBUI:
                self._port_is_taken(node)
            case WalkEnding.GONE:
                self.begin(
                    node, f"The port is free again: starting the {node.noun}.", restart=node.generation > 0
                )
            case WalkEnding.PENDING:
                self._report(node, walk)

    def _is_of_no_use(self, node: Node, walk: Walk, ending: WalkEnding) -> None:
        if walk.own and ending is WalkEnding.CANNOT_WORK:
            self.cannot_work(node, walk.steps.reason)
        else:
            self._ask_again_later(node, walk)

    def cannot_work(self, node: Node, reason: str) -> None:
        """A server that says so itself. One of ours is ended, because it may hold a whole graphics card, and started
        again after the usual pause; another one is asked now and then.
        """
        self.abandon()
        if node.managed and not node.adopted_foreign:
            boots.end(node, reason)
            self._start_failed(node, reason)
            return
        self._try_failed(node, reason)
        self._await_later(node, Purpose.ADOPTED if node.managed else Purpose.ATTACHED)

    def _port_is_taken(self, node: Node) -> None:
        if node.simulated:
            boots.move_to_free_port(node)
            self.begin(node, f"Another program has its port: moving to {node.base_url}.", restart=True)
            return
        self._tries.pause(self._relook_s)
        reason = boots.port_taken_sentence(node, ports.endpoint(node.base_url)[1])
        self._try_failed(node, reason, look_again_s=self._relook_s)

    def _own_is_gone(self, node: Node, walk: Walk, sentence: str) -> None:
        """A start has failed; or a server that had been ready is gone, which is no failed start."""
        if walk.purpose is Purpose.BOOT:
            self._start_failed(node, sentence)
        else:
            self.begin(node, f"Starting again: {sentence}", restart=True)

    def _ask_again_later(self, node: Node, walk: Walk) -> None:
        """The server runs and will not take us before somebody changes something: it is asked now and then."""
        self._try_failed(node, walk.steps.reason)
        if walk.own:
            self.await_own(node, walk.purpose, timeout_s=None, delay_s=self._relook_s)
        else:
            self._await_later(node, walk.purpose)

    def _await_later(self, node: Node, purpose: Purpose) -> None:
        self._walk = start_watch.to_other(
            node, purpose, clock=self._clock, patience_s=self._relook_s, delay_s=self._relook_s
        )

    def _look_again(self, node: Node) -> None:
        """A failed node without a process: start it when its pause is over; has somebody else done so?"""
        if self._tries.due:
            self.begin(node, f"Trying to start the {node.noun} again.", restart=True)
        elif self._clock() >= self._look_again_at:
            self._look_again_at = self._clock() + min(CONNECT_CHECK_S, self._relook_s)
            host, port = ports.endpoint(node.base_url)
            if _accepts(host, port):
                self._meet_stranger(node, port)

    def _report(self, node: Node, walk: Walk) -> None:
        """Why a server is not ready yet, where it says so itself or its owner should know."""
        if walk.purpose is Purpose.ATTACHED:
            self._report_attached(node, walk)
        elif walk.own and walk.steps.loading:
            boots.write_state(node, NodeState.STARTING, walk.steps.reason)

    def _report_attached(self, node: Node, walk: Walk) -> None:
        if not walk.steps.reason or (node.state == NodeState.FAILED and walk.steps.connected):
            return
        boots.write_state(
            node, NodeState.UNREACHABLE, f"{ended(walk.steps.reason)} {self._not_restarted}".rstrip()
        )

    def _became_ready(self, node: Node, walk: Walk) -> None:
        columns: dict[str, object] = {"last_ready_at": timezone.now(), "failed_starts": 0, **UNKNOWN_MEMORY}
        if walk.purpose is Purpose.STRANGER:
            columns.update(
                generation=node.generation + 1, adopted_foreign=True, pid=None, nonce="", log_directory=""
            )
        self.abandon()
        self._tries.reset()
        stranger = walk.purpose is Purpose.STRANGER
        whose = f"Somebody else's {node.noun}" if stranger else f"The {node.noun}"
        reason = f"{whose} at {node.base_url} answers. {self._not_restarted}".rstrip()
        if self._not_restarted:
            wishes.in_vain(node)
        boots.write_state(node, NodeState.READY, reason, begins=reason if stranger else "", **columns)
        self._on_ready()


def _accepts(host: str, port: int) -> bool:
    return ports.connect_problem(host, port, readiness.CONNECT_TIMEOUT_S) is None


def _next_attached(node: Node, begins: str, *, because: str, restart: bool) -> None:
    """Another generation of a server that is not our process; `because` ended the one before."""
    boots.lose(node, because)
    boots.write(
        node,
        begins=begins,
        generation=node.generation + 1,
        restarts=node.restarts + restart,
        checkpoint="",
    )


def _late_sentence(node: Node, walk: Walk) -> str:
    why = walk.steps.reason
    if not walk.steps.connected:
        why = f"Nothing listened at {node.base_url}: does its command give it this port?"
    return f"The {node.noun} was not ready after {round((walk.deadline or 0.0) - walk.began_at)} s. {why}"
