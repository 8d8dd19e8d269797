"""Who serves in a campaign: nodes by their kind of work and their card, and how the simulator of each is started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fault.campaign.plan import KINDS, Kind
from tests.fault.campaign.plan_workers import WORKER_KINDS

IMAGE = "image"
FILM = "i2v"
EDIT = "edit"
MIXED = "mixed"

BOOT_S = 0.5
STEP_S = 0.04
#: Of workers: a job lasts longer than a fault takes to find its moment.
WORKER_STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Member:
    """One node. `remote`: a server of others, reached through a proxy; somebody else's hand starts it."""

    name: str
    kind: str = IMAGE
    card: str = ""
    remote: bool = False

    def simulator_words(self, port: int) -> list[str]:
        """The command that starts its simulator, without journal and faults."""
        words = [sys.executable, "-m", "webui.simulator", "--port", str(port), "--boot-seconds", str(BOOT_S)]
        words.append("--any-name")
        if self.kind == IMAGE:
            return [*words, "--seconds-per-step", str(STEP_S), "--adetailer"]
        words += ["--kind", self.kind, "--load-seconds", str(BOOT_S)]
        return [*words, "--seconds-per-step", str(WORKER_STEP_S)]


@dataclass(frozen=True, slots=True)
class Lineup:
    """The nodes of one campaign; `possible` is what can strike them."""

    work: str
    members: tuple[Member, ...]
    possible: tuple[Kind, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Those whose servers are ours to start."""
        return tuple(one.name for one in self.members if not one.remote)

    @property
    def every_node(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.members)

    @property
    def remote(self) -> str:
        """The node whose server is somebody else's; empty where there is none."""
        return next((one.name for one in self.members if one.remote), "")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of work, each once."""
        return tuple(dict.fromkeys(one.kind for one in self.members))

    @property
    def makes_pictures(self) -> bool:
        """WebUIs serve, and packs of prompts are their work; else workers and folders of pictures."""
        return self.kinds == (IMAGE,)

    def member(self, name: str) -> Member:
        return next(one for one in self.members if one.name == name)

    def targets(self, kind: Kind) -> Sequence[str]:
        """The nodes that this fault can strike."""
        if kind.remote:
            return (self.remote,)
        return [name for name in self.nodes if kind.only in ("", self.member(name).kind)]


def _lineup(work: str, *members: Member) -> Lineup:
    made = {one.kind for one in members}
    if IMAGE in made:
        return Lineup(work, members, KINDS)
    return Lineup(work, members, tuple(kind for kind in WORKER_KINDS if not kind.only or kind.only in made))


LINEUPS: dict[str, Lineup] = {
    # The first one is what `up` makes from its settings.
    IMAGE: _lineup(IMAGE, Member("webui"), Member("second"), Member("remote", remote=True)),
    FILM: _lineup(FILM, Member("films", FILM), Member("more-films", FILM)),
    EDIT: _lineup(EDIT, Member("edits", EDIT), Member("more-edits", EDIT)),
    MIXED: _lineup(MIXED, Member("films", FILM, "gpu-0"), Member("edits", EDIT, "gpu-0")),
}
"""By the kind of work that the campaign's option names."""
