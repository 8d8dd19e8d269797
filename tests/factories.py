"""Rows for tests, made through the real doors: packs are imported, jobs are submitted."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.lifecycle import JobStatus, Priority, TruthPolicy
from jobs.models import Job, PackRevision, Runner
from jobs.packs.pack import parse_pack
from jobs.queue.claims import Claim, claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.submitting.importing import import_pack
from jobs.submitting.preflight import OnMissing
from jobs.submitting.submission import BuiltPack, Submitted, source_of, submit_packs
from stablenew_site.roles import ROLES, Role
from tests.promises import PATIENCE_S
from webui.models import Node, NodeCatalog, NodeState
from webui.nodes.catalogs import as_document
from webui.work.catalog import Catalog, Entry, Thing

_numbers = itertools.count(1)

PACK_TEXT = "a lighthouse on a cliff, evening light\nneg: blurry\n"


def make_user(name: str = "", *, role: Role | None = None, operator: bool = False, **fields: Any) -> User:
    """Somebody without a group may look; `operator=True` is short for that role."""
    user = User.objects.create_user(name or f"user{next(_numbers)}", password="correct horse", **fields)
    role = Role.OPERATOR if operator else role
    if role is not None:
        user.groups.add(role_group(role))
    return user


def role_group(role: Role) -> Group:
    """The group that the migration made; a test that commits empties all tables, and then it is made again."""
    group, made = Group.objects.get_or_create(name=role)
    if made:
        for permission in ROLES[role]:
            app, _, codename = permission.partition(".")
            group.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return group


def make_pack(name: str = "", text: str = PACK_TEXT, document: str = "", kind: str = "image") -> PackRevision:
    name = name or f"pack{next(_numbers)}"
    return import_pack(parse_pack(PackSource(name, text, document, kind))).revision


def submit(
    revision: PackRevision | None = None,
    *,
    priority: Priority = Priority.NORMAL,
    run_now: bool = False,
    key: str | None = None,
    truth: TruthPolicy | None = None,
    on_missing: OnMissing = OnMissing.STOP,
    **options: Any,
) -> Submitted:
    revision = revision or make_pack()
    built = build(source_of(revision), BuildOptions(**{"build_seed": 1, **options}))
    return submit_packs(
        [BuiltPack(revision, built)],
        priority=priority,
        run_now=run_now,
        key=key,
        truth=truth,
        on_missing=on_missing,
    )


def make_job(**options: Any) -> Job:
    """One queued job; `options` as for `submit`."""
    submitted = submit(**options)
    return Job.objects.select_related("record").get(pk=submitted.job_ids[0])


def make_node(name: str = "", *, state: NodeState = NodeState.READY, **fields: Any) -> Node:
    number = next(_numbers)
    values = {
        "name": name or f"node{number}",
        "base_url": f"http://127.0.0.1:{20000 + number}",
        "state": state,
    }
    return Node.objects.create(**{**values, "generation": 1, **fields})


def store_catalog(node: Node, lists: Mapping[Thing, Sequence[str | Entry]], **columns: Any) -> NodeCatalog:
    """What the node's server has, as its keeper stores it; a kind that is not in `lists` is not known."""
    entries = {
        thing: tuple(one if isinstance(one, Entry) else Entry(one) for one in names)
        for thing, names in lists.items()
    }
    kept = {"read_at": timezone.now(), "wanted_at": None, "wanted_because": "", "problem": "", **columns}
    catalog, _ = NodeCatalog.objects.update_or_create(
        node=node, defaults={"document": as_document(Catalog(lists=entries)), **kept}
    )
    return catalog


def make_runner(node: Node | None = None, **fields: Any) -> Runner:
    """It lives as long as its test, however long a busy machine takes for that."""
    heartbeat = {"heartbeat_at": timezone.now() + timedelta(seconds=PATIENCE_S)}
    return Runner.objects.create(node=node or make_node(), **heartbeat | fields)


def its_turn(runner: Runner) -> Runner:
    """Of the idle nodes of its kind it is this one's turn to claim."""
    Runner.objects.exclude(pk=runner.pk).update(last_claim_at=timezone.now())
    Runner.objects.filter(pk=runner.pk).update(last_claim_at=None)
    return runner


def make_running_job(runner: Runner | None = None, **options: Any) -> tuple[Job, Claim]:
    """A job claimed by this very process, at the head of an otherwise empty queue."""
    runner = runner or make_runner()
    make_job(**options)
    claim = claim_next(its_turn(runner).pk, ProcessIdentity.of_self())
    assert claim is not None
    return Job.objects.select_related("record").get(pk=claim.job_id), claim


def running_columns(node: Node) -> dict[str, Any]:
    """Columns of a running job, for tests that go around the verbs."""
    return {
        "status": JobStatus.RUNNING,
        "node": node,
        "owner": f"here|{os.getpid()}|0.00",
        "run_token": uuid.uuid4(),
        "lease_until": timezone.now() + timedelta(seconds=30),
        "started_at": timezone.now(),
    }
