"""What stands around the jobs of a seeded database: people, nodes with their boots, packs with their revisions."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User

from jobs.building.builder import PackSource
from jobs.models import PackRevision, Runner
from jobs.packs.pack import parse_pack
from jobs.queue.identity import host_identity
from jobs.queue.storage import output_root
from jobs.submitting.importing import import_pack
from stablenew_site.roles import Role
from tests.seed.causes import ADDRESS
from tests.seed.packs import CHECKPOINTS, pack_sources
from tests.seed.plan import PAST
from webui.models import Boot, Node, NodeState, Wish
from webui.nodes.adding import add_node
from webui.nodes.wishes import wish

#: Who did most comes first.
PEOPLE: Mapping[str, Role] = {
    "ada": Role.OPERATOR,
    "ben": Role.OPERATOR,
    "chloe": Role.OPERATOR,
    "dmitri": Role.ADMIN,
    "elif": Role.OPERATOR,
}
#: Made-up nodes are known by it.
PREFIX = "seeded-"
NODES = ("attic", "cellar", "workshop")
STOPPED_BY = "dmitri"
#: Boots of each node, over the whole past.
GENERATIONS = 40


@dataclass(frozen=True, slots=True)
class Scene:
    """`packs` are the revisions of each pack, oldest first; `revisions` their rows by content."""

    users: tuple[User, ...]
    nodes: tuple[Node, ...]
    packs: list[list[PackSource]]
    revisions: Mapping[PackSource, PackRevision]


def make_scene(now: datetime, rng: random.Random) -> Scene:
    begin = now - PAST - timedelta(days=7)
    users = tuple(_user(name, role, begin) for name, role in PEOPLE.items())
    nodes = tuple(_node(name, begin, now) for name in NODES)
    packs = pack_sources(rng)
    revisions = {
        source: import_pack(parse_pack(source), user=rng.choice(users)).revision
        for sources in packs
        for source in sources
    }
    return Scene(users, nodes, packs, revisions)


def _user(name: str, role: Role, at: datetime) -> User:
    """Nobody can log in as them: they have no password."""
    user, made = User.objects.get_or_create(username=name, defaults={"date_joined": at})
    if made:
        user.set_unusable_password()
        user.save()
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


def _node(name: str, begin: datetime, now: datetime) -> Node:
    """A WebUI of others that has been stopped; no supervisor runs it."""
    node = add_node(f"{PREFIX}{name}", ADDRESS)
    wish(node.pk, Wish.STOP, by=STOPPED_BY, reason="node stop")
    stopped = f"Stopped by {STOPPED_BY} (node stop)."
    Node.objects.filter(pk=node.pk).update(
        created_at=begin,
        state=NodeState.STOPPED,
        state_reason=stopped,
        generation=GENERATIONS,
        restarts=GENERATIONS - 1,
        checkpoint=CHECKPOINTS[0],
        last_ready_at=now - timedelta(hours=3),
        ram_bytes=5_300_000_000,
    )
    woken_at = now - timedelta(hours=3)
    Runner.objects.create(node=node, host_identity=host_identity(), woken_at=woken_at)
    output_root().mkdir(parents=True, exist_ok=True)
    each = (now - begin) / GENERATIONS
    Boot.objects.bulk_create(
        Boot(
            node=node,
            generation=number + 1,
            begun_at=begin + each * number,
            begun_because="It did not answer any more; waiting until it does again."
            if number
            else f"Waiting for the WebUI at {ADDRESS}.",
            ready_at=begin + each * number + timedelta(seconds=14),
            ended_at=begin + each * (number + 1) - timedelta(seconds=1),
            ended_because=f"Nothing listens at {ADDRESS}." if number + 1 < GENERATIONS else stopped,
        )
        for number in range(GENERATIONS)
    )
    return node
