"""Walks through readiness, each with its purpose: to a process of ours, or to a server of somebody else.

A walk says how it ended; what follows is the keeper's.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from webui.driver import driver_of
from webui.keeper import readiness
from webui.keeper.kind_match import suits
from webui.keeper.readiness import Readiness, Verdict
from webui.models import Node
from webui.nodes.connecting import ASK_TIMEOUTS, connect
from webui.processes import process

STRANGER_ANSWERS = 2
"""So many answers without the API, a second apart, and the holder of the port is no WebUI."""
FREE_AFTER_S = 3 * readiness.CONNECT_EVERY_S
"""A port that refuses connections for so long has lost its holder."""


class WalkEnding(enum.Enum):
    """How a walk stands after a step."""

    PENDING = "pending"
    READY = "ready"
    DIED = "died"
    LATE = "late"
    """Not ready within its time."""
    WRONG_PASSWORD = "wrong password"  # noqa: S105
    WITHOUT_API = "without api"
    """It was started without its API."""
    CANNOT_WORK = "cannot work"
    """It says so itself, or takes something else than its node is for."""
    NO_WEBUI = "no webui"
    """The stranger on the port does not speak the API."""
    GONE = "gone"
    """The stranger has left the port."""


_ENDINGS = {
    Verdict.READY: WalkEnding.READY,
    Verdict.DIED: WalkEnding.DIED,
    Verdict.WRONG_PASSWORD: WalkEnding.WRONG_PASSWORD,
    Verdict.WITHOUT_API: WalkEnding.WITHOUT_API,
    Verdict.CANNOT_WORK: WalkEnding.CANNOT_WORK,
}


class Purpose(enum.Enum):
    """Whom a walk leads to."""

    BOOT = "boot"
    """A process that we have just started."""
    OWN_AGAIN = "own again"
    """A process of ours that was ready and refuses connections."""
    ATTACHED = "attached"
    """A server that somebody else keeps running for us."""
    STRANGER = "stranger"
    """Somebody else's process on the port of a node that we would start."""
    ADOPTED = "adopted"
    """The same, counted as this generation already."""


@dataclass(frozen=True)
class Walk:
    """`began_at`, when its first try is due, and `deadline` are on the keeper's clock; None waits for ever."""

    steps: Readiness
    purpose: Purpose
    clock: Callable[[], float]
    began_at: float
    patience_s: float
    """After so long a stranger has shown what he is, and an attached server is tried at leisure."""
    deadline: float | None = None

    @property
    def own(self) -> bool:
        return self.purpose in (Purpose.BOOT, Purpose.OWN_AGAIN)

    def step(self) -> WalkEnding:
        """The next due action; never more than one connect or one question."""
        verdict = self.steps.step()
        if verdict is not Verdict.PENDING:
            return _ENDINGS[verdict]
        now = self.clock()
        if self.deadline is not None and now >= self.deadline:
            return WalkEnding.LATE
        waited_s = now - self.began_at
        if self.purpose in (Purpose.STRANGER, Purpose.ADOPTED):
            if self.steps.answers_without_api >= STRANGER_ANSWERS or waited_s > self.patience_s:
                return WalkEnding.NO_WEBUI
            if not self.steps.connected and waited_s > FREE_AFTER_S:
                return WalkEnding.GONE
        elif self.purpose is Purpose.ATTACHED and waited_s > self.patience_s:
            self.steps.slow_down(self.patience_s)
        return WalkEnding.PENDING


def to_own(
    node: Node,
    purpose: Purpose,
    *,
    clock: Callable[[], float],
    timeout_s: float | None,
    delay_s: float = 0.0,
) -> Walk:
    """Until the process of the row's boot is ready, dead, or out of time."""
    identity = process.identity_of(node)
    stdout_log = Path(node.log_directory) / "stdout.log"
    driver = driver_of(node.driver)
    server = connect(node, timeouts=ASK_TIMEOUTS)
    steps = Readiness(
        node.base_url,
        ask=lambda: suits(node, server.ask()),
        without_api=server.without_api,
        settle_s=settings.STABLENEW_SETTLE_S,
        alive=lambda: process.main_process(identity) is not None,
        # A server that was ready and closed its port may add its API anew: what it once said is void.
        announced=lambda: purpose is Purpose.BOOT and driver.announces_start(stdout_log),
        delay_s=delay_s,
        clock=clock,
    )
    deadline = None if timeout_s is None else clock() + timeout_s
    return Walk(steps, purpose, clock, began_at=clock(), patience_s=0.0, deadline=deadline)


def to_other(
    node: Node, purpose: Purpose, *, clock: Callable[[], float], patience_s: float, delay_s: float = 0.0
) -> Walk:
    """Until whoever listens at the node's address answers as a WebUI."""
    server = connect(node, timeouts=ASK_TIMEOUTS)
    steps = Readiness(
        node.base_url,
        ask=lambda: suits(node, server.ask()),
        without_api=server.without_api,
        settle_s=settings.STABLENEW_SETTLE_S,
        delay_s=delay_s,
        clock=clock,
    )
    return Walk(steps, purpose, clock, began_at=clock() + delay_s, patience_s=patience_s)
