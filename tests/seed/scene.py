"""What stands around the jobs of a seeded database: people, nodes with their boots, packs with their revisions."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User

from jobs.builder import PackSource, parse_pack
from jobs.models import PackRevision, PromptPack, Runner
from stablenew_site.roles import Role
from tests.seed.packs import CHECKPOINTS, pack_sources
from tests.seed.plan import PAST
from webui.models import Boot, Node, NodeState

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
#: Boots of each node, over the whole past.
GENERATIONS = 40


@dataclass(frozen=True, slots=True)
class Scene:
    """`packs` are the revisions of each pack, oldest first; `revisions` their rows by content."""

    users: tuple[User, ...]
    nodes: tuple[Node, ...]
    packs: tuple[tuple[PackSource, ...], ...]
    revisions: Mapping[PackSource, PackRevision]

    def revision(self, source: PackSource) -> PackRevision:
        return self.revisions[source]


def make_scene(now: datetime, rng: random.Random) -> Scene:
    begin = now - PAST - timedelta(days=7)
    users = tuple(_user(name, role, begin) for name, role in PEOPLE.items())
    nodes = tuple(_node(name, begin, now) for name in NODES)
    packs = tuple(tuple(revisions) for revisions in pack_sources(rng))
    revisions = {
        source: revision
        for sources in packs
        for source, revision in zip(sources, _import(sources, rng.choice(users), begin), strict=True)
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
    node, _ = Node.objects.get_or_create(
        name=f"{PREFIX}{name}",
        defaults={
            "base_url": "http://127.0.0.1:9",
            "created_at": begin,
            "state": NodeState.STOPPED,
            "state_reason": "It was made by `tests.seed`: no WebUI stands behind it.",
            "generation": GENERATIONS,
            "restarts": GENERATIONS - 1,
            "checkpoint": CHECKPOINTS[0],
            "last_ready_at": now - timedelta(hours=3),
        },
    )
    Runner.objects.get_or_create(node=node)
    each = (now - begin) / GENERATIONS
    Boot.objects.bulk_create(
        [
            Boot(
                node=node,
                generation=number + 1,
                begun_at=begin + each * number,
                begun_because="It was started for the first time." if number == 0 else "A job crashed it.",
                pid=4000 + number,
                ready_at=begin + each * number + timedelta(seconds=14),
                ended_at=begin + each * (number + 1) - timedelta(seconds=1),
                ended_because="It did not answer any more.",
            )
            for number in range(GENERATIONS)
        ],
        ignore_conflicts=True,
    )
    return node


def _import(sources: tuple[PackSource, ...], user: User, at: datetime) -> list[PackRevision]:
    """As `services.import_pack`, but in the past: its rows say when they were made."""
    pack = PromptPack.objects.create(name=sources[0].pack_id, created_at=at)
    made = []
    for number, source in enumerate(sources, start=1):
        parsed = parse_pack(source)
        made.append(
            PackRevision.objects.create(
                pack=pack,
                number=number,
                text=source.text,
                document=source.document,
                sha256=source.sha256,
                row_count=len(parsed.rows),
                warnings=[warning.model_dump(mode="json") for warning in parsed.warnings],
                imported_by=user,
                created_at=at + timedelta(hours=number),
            )
        )
    pack.title, pack.current = parsed.title, made[-1]
    pack.save(update_fields=("title", "current"))
    return made
