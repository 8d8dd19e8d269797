"""What strikes: the kinds of faults, and the shuffled deck that a seed makes of them. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Group(Enum):
    """Whose fault it is."""

    SIMULATOR = "the simulator fails by rule"
    WEBUI = "somebody does something to the WebUI"
    OURS = "one of our own processes is ended"
    OPERATOR = "a person acts"
    MACHINE = "the machine, or something between"


class Needs(Enum):
    """What a kind cannot do without; `surroundings` knows whether it is to be had."""

    NOTHING = ""
    DISK = "a disk of its own"
    NAMESPACE = "a mount namespace"
    POSTGRESQL = "PostgreSQL"
    OWN_SERVER = "a PostgreSQL of its own"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. `variants` are drawn in turn; of a simulator fault they are its rules, `;` between lines.

    `both` strikes the installation, not one node; `remote` the one that is attached through a proxy; `only` nodes of
    that kind of work. `kills` counts as a kill of one of our own processes.
    """

    name: str
    group: Group
    variants: tuple[str, ...] = ("",)
    both: bool = False
    kills: bool = False
    remote: bool = False
    only: str = ""
    needs: Needs = Needs.NOTHING


def by_rule(name: str, *rules: str, only: str = "") -> Kind:
    """The simulator does it, to the next request that a rule fits."""
    return Kind(name, Group.SIMULATOR, rules or (f"{name}@*",), only=only)


def _killed(name: str, *, both: bool = False) -> Kind:
    return Kind(name, Group.OURS, both=both, kills=True)


KINDS: tuple[Kind, ...] = (
    by_rule("500"),
    by_rule("oom"),
    by_rule("nan"),
    by_rule("drop", "drop@*", "half-answer@*"),
    by_rule("truncated", "truncated@*", "torn-picture@*"),
    by_rule("black"),
    by_rule("wrong-checkpoint"),
    by_rule("fewer-images"),
    by_rule("404-sampler"),
    by_rule("422"),
    by_rule("503", "503@*;503@*", "503@*;503@*;503@*;503@*;503@*"),
    by_rule("slow", "slow=0.3@*", "slow-load=1.5@*"),
    by_rule("hang", "hang@*", "hang-before@*", "hang-after@*"),
    by_rule("interrupted"),
    by_rule("die"),
    Kind("no-boot", Group.SIMULATOR, ("1", "2", "4")),
    Kind("poison", Group.SIMULATOR),
    Kind("webui-killed-mid-job", Group.WEBUI),
    Kind("webui-killed-between-jobs", Group.WEBUI),
    Kind("webui-killed-during-boot", Group.WEBUI),
    Kind("webui-restarted-by-hand", Group.WEBUI),
    Kind("port-taken", Group.WEBUI, ("without the API", "with the API")),
    _killed("kill-worker-idle"),
    _killed("kill-worker-busy"),
    _killed("kill-monitor"),
    _killed("kill-pusher"),
    _killed("kill-sentinel"),
    _killed("kill-run-node"),
    _killed("kill-web-server", both=True),
    _killed("kill-up", both=True),
    _killed("kill-everything", both=True),
    Kind("term-group", Group.OURS),
    Kind("worker-frozen", Group.OURS, ("worker", "run_node")),
    Kind("restart-now", Group.OPERATOR),
    Kind("restart-after-job", Group.OPERATOR),
    Kind("restart-during-recovery", Group.OPERATOR),
    Kind("stop-and-start", Group.OPERATOR),
    Kind("cancel-queued", Group.OPERATOR),
    Kind("cancel-running", Group.OPERATOR),
    Kind("pause-and-resume", Group.OPERATOR, both=True),
    Kind(
        "cancel-under-fault", Group.OPERATOR, ("webui", "worker", "500@*", "drop@*", "503@*;503@*", "hang@*")
    ),
    Kind("disk-full", Group.MACHINE, both=True, needs=Needs.DISK),
    Kind("folder-gone", Group.MACHINE, both=True),
    Kind("clock-step", Group.MACHINE, ("3", "1;1", "-3", "-86400"), both=True, needs=Needs.NAMESPACE),
    Kind("suspended", Group.MACHINE, ("5", "20"), both=True),
    Kind("database-locked", Group.MACHINE, ("4", "8", "26"), both=True),
    Kind("connections-ended", Group.MACHINE, both=True, needs=Needs.POSTGRESQL),
    Kind("postgresql-restarted", Group.MACHINE, ("fast", "immediate"), both=True, needs=Needs.OWN_SERVER),
    Kind(
        "gateway",
        Group.MACHINE,
        ("504 after 0.3", "502 after 0.1", "502 after 1.5", "503 after 0.2"),
        remote=True,
    ),
    Kind("vanished", Group.MACHINE, ("", "stands still"), remote=True),
)


@dataclass(frozen=True, slots=True)
class Card:
    """One fault of the deck."""

    number: int
    kind: Kind
    variant: str


def deck(count: int, seed: int, only: Sequence[str] = (), possible: Sequence[Kind] = KINDS) -> list[Card]:
    """`count` faults: every kind as often as any other, give or take one, in an order of chance.

    `only` names the kinds to draw from, among the `possible` ones.
    """
    rng = random.Random(seed)
    kinds = [kind for kind in possible if not only or kind.name in only]
    unknown = set(only) - {kind.name for kind in (*KINDS, *possible)}
    if unknown:
        raise ValueError(f"no such kind of fault: {', '.join(sorted(unknown))}")
    if not kinds:
        raise ValueError(f"cannot strike here: {', '.join(only)}")
    drawn: list[tuple[Kind, str]] = []
    turn = 0
    while len(drawn) < count:
        turns_kinds = rng.sample(kinds, len(kinds))[: count - len(drawn)]
        drawn += [(kind, kind.variants[turn % len(kind.variants)]) for kind in turns_kinds]
        turn += 1
    rng.shuffle(drawn)
    return [Card(number, kind, variant) for number, (kind, variant) in enumerate(drawn, start=1)]
