"""What pages show of one node: its state in words, what is asked of it, and which buttons make sense."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit, urlunsplit

from webui.keeper.memory import use_of
from webui.keeper.ready_watch import is_silent
from webui.keeper.restart_means import restart_means
from webui.kinds import WorkKind
from webui.models import Node, NodeState, Wish
from webui.nodes.asking import OURS, opening
from webui.nodes.change import why_not_changed
from webui.nodes.spec import wants_token
from webui.words import ServerNoun, ended


@dataclass(frozen=True, slots=True)
class NodeCard:
    """What strip and page show of one node; equal cards mean equal pages."""

    id: int
    name: str
    address: str
    state: str
    state_label: str
    silent: bool
    """READY, and yet its WebUI only accepts connections."""
    explanation: str
    kind_label: str
    card: str
    noun: ServerNoun
    checkpoint: str
    memory: str
    """Of a ready one, as far as it is known: in words."""
    generation: int
    restarts: int
    failed_starts: int
    since: datetime
    last_ready_at: datetime | None
    pid: int | None
    simulated: bool
    managed: bool
    foreign: bool
    means: str
    pending: str
    can_start: bool
    can_stop: bool
    can_restart: bool
    can_take_back: bool
    has_credentials: bool
    takes_token: bool
    fixed_because: str
    """Why people cannot change its address and credentials; empty where they can. The rest they always can."""

    @property
    def model_label(self) -> str:
        """What `checkpoint` is called; a worker has one model for life."""
        return "Checkpoint" if self.noun is ServerNoun.WEBUI else "Model"

    @property
    def starting_word(self) -> str:
        """What starting means in this state."""
        if self.state in (NodeState.FAILED, NodeState.UNREACHABLE):
            return "Try again now"
        return "Start" if self.managed else "Use it again"

    @property
    def stopping_word(self) -> str:
        """What stopping means: what somebody else runs goes on, unused."""
        return "Stop" if self.managed and not self.foreign else "Stop using it"

    @property
    def poll_s(self) -> int:
        """How often a page asks: what stands still is asked more rarely."""
        moving = self.pending or self.state in (NodeState.STARTING, NodeState.RESTARTING)
        return 1 if moving else 3


def shown_address(base_url: str) -> str:
    """The address without credentials that may stand in it."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def node_card(node: Node) -> NodeCard:
    stopped = node.state == NodeState.STOPPED
    lost = node.state in (NodeState.FAILED, NodeState.UNREACHABLE)
    stopping = node.wish == Wish.STOP
    waits_to_restart = node.wish == Wish.RESTART and node.wish_after_job
    return NodeCard(
        id=node.pk,
        name=node.name,
        address=shown_address(node.base_url),
        state=node.state,
        state_label=NodeState(node.state).label,
        silent=is_silent(node),
        explanation="" if _is_as_ever(node) else f"{node.state_reason.rstrip('.')}.",
        kind_label=WorkKind(node.kind).label,
        card=node.card,
        noun=node.noun,
        checkpoint=node.checkpoint,
        memory=use_of(node).words() if node.state == NodeState.READY else "",
        generation=node.generation,
        restarts=node.restarts,
        failed_starts=node.failed_starts,
        since=node.state_since,
        last_ready_at=node.last_ready_at,
        pid=None if stopped else node.pid,
        simulated=node.simulated,
        managed=node.managed,
        foreign=node.adopted_foreign,
        means=restart_means(node),
        pending=_pending(node),
        can_start=stopped or stopping or (lost and node.wish == ""),
        can_stop=not stopped and not stopping,
        # Where one that we start is not there, starting it is all that a restart would do.
        can_restart=not (stopped or node.adopted_foreign or (node.managed and lost))
        and (node.wish == "" or waits_to_restart),
        can_take_back=node.wish in (Wish.RESTART, Wish.RUN),
        has_credentials=bool(node.api_auth),
        takes_token=wants_token(node.driver),
        fixed_because=why_not_changed(node),
    )


def _is_as_ever(node: Node) -> bool:
    """No reason, or that of a ready server that says no more than that it answers, as the keeper words it."""
    return not node.state_reason or (node.state == NodeState.READY and node.state_reason.endswith("answers."))


def _pending(node: Node) -> str:
    """The wish that the keeper has not fulfilled yet, as a sentence; empty when there is none."""
    settled = {Wish.STOP: NodeState.STOPPED, Wish.RUN: NodeState.READY}
    if not node.wish or settled.get(Wish(node.wish)) == node.state:
        return ""
    waits = node.wish == Wish.RESTART and node.wish_after_job
    if node.wish_by in OURS:
        act = {Wish.RUN: "start", Wish.STOP: "stop", Wish.RESTART: "restart"}[Wish(node.wish)]
        when = " after the running job" if waits else ""
        return ended(f"Its keeper will {act} it{when}{f': {node.wish_reason}' if node.wish_reason else ''}")
    asked = {Wish.RUN: "be started", Wish.STOP: "be stopped", Wish.RESTART: "be restarted"}[Wish(node.wish)]
    who = opening(node.wish_by)
    if waits:
        return f"{who} asked that it {asked} after the running job; its keeper waits for the end of that job."
    return f"{who} asked that it {asked}; its keeper will do it."


def version_of(cards: Sequence[NodeCard]) -> str:
    return hashlib.sha256(repr(cards).encode()).hexdigest()[:16]
