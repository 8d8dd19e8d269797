"""Insert-only tables refuse at every door that Django has."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError

from jobs.building.builder import PackSource
from jobs.immutable import ImmutableRowError, InsertOnlyModel
from jobs.models import JobRecord, LifecycleEvent, PackRevision
from jobs.packs.pack import parse_pack
from jobs.queue.control import cancel
from jobs.submitting.importing import import_pack
from tests.factories import make_job, make_user

pytestmark = pytest.mark.django_db

INSERT_ONLY = [
    model for model in apps.get_app_config("jobs").get_models() if issubclass(model, InsertOnlyModel)
]


def test_the_tables_of_history_are_insert_only() -> None:
    names = {model.__name__ for model in INSERT_ONLY}
    assert names == {
        "PackRevision",
        "Submission",
        "JobRecord",
        "LifecycleEvent",
        "OutputImage",
        "HistoryEntry",
        "InputPicture",
        "InputUse",
        "NeedSet",
        "TruthCheck",
    }


def save_again(row: JobRecord) -> None:
    row.sha256 = "0" * 64
    row.save()


def save_update_fields(row: JobRecord) -> None:
    row.save(update_fields=["sha256"])


def save_force_update(row: JobRecord) -> None:
    row.save(force_update=True)


DOORS: dict[str, Callable[[JobRecord], Any]] = {
    "save": save_again,
    "save update_fields": save_update_fields,
    "save force_update": save_force_update,
    "delete": lambda row: row.delete(),
    "queryset update": lambda row: JobRecord.objects.filter(pk=row.pk).update(sha256=""),
    "queryset delete": lambda row: JobRecord.objects.filter(pk=row.pk).delete(),
    "bulk_update": lambda row: JobRecord.objects.bulk_update([row], ["sha256"]),
    "bulk_create update_conflicts": lambda row: JobRecord.objects.bulk_create(
        [row], update_conflicts=True, update_fields=["sha256"], unique_fields=["id"]
    ),
    "update_or_create": lambda row: JobRecord.objects.update_or_create(
        pk=row.pk, defaults={"sha256": "0" * 64}
    ),
    "related manager update": lambda row: row.submission.records.update(sha256=""),
    "related manager delete": lambda row: row.submission.records.all().delete(),
    "base manager update": lambda row: JobRecord._base_manager.filter(pk=row.pk).update(sha256=""),
    "default manager update": lambda row: JobRecord._default_manager.filter(pk=row.pk).update(sha256=""),
}


@pytest.mark.parametrize("door", DOORS)
def test_door_refuses(door: str) -> None:
    row = make_job().record
    before = JobRecord.objects.values().get(pk=row.pk)
    with pytest.raises(ImmutableRowError, match="never changed or deleted"), transaction.atomic():
        DOORS[door](row)
    assert JobRecord.objects.values().get(pk=row.pk) == before


@pytest.mark.parametrize("model", INSERT_ONLY, ids=lambda model: str(model.__name__))
def test_every_manager_of_the_table_refuses(model: type[InsertOnlyModel]) -> None:
    managers: list[models.Manager[Any]] = [model._base_manager, model._default_manager]
    for manager in managers:
        with pytest.raises(ImmutableRowError):
            manager.all().update(pk=1)
        with pytest.raises(ImmutableRowError):
            manager.all().delete()


def test_a_row_with_a_taken_key_fails_instead_of_replacing() -> None:
    event = make_job().events.first()
    assert event is not None
    copy = LifecycleEvent(pk=event.pk, job=event.job, sequence=99, event_type=event.event_type)
    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save()


@pytest.mark.parametrize("model", INSERT_ONLY, ids=lambda model: str(model.__name__))
def test_foreign_keys_to_and_from_protect(model: type[InsertOnlyModel]) -> None:
    relations = [field for field in model._meta.get_fields() if isinstance(field, models.ForeignKey)]
    relations += [
        relation.field
        for relation in model._meta.related_objects
        if isinstance(relation.field, models.ForeignKey) and not relation.field.model._meta.auto_created
    ]
    for field in relations:
        assert field.remote_field.on_delete is models.PROTECT, field


def test_a_user_with_history_cannot_be_deleted() -> None:
    user = make_user("keeper")
    import_pack(parse_pack(PackSource(pack_id="kept", text="a cat\nneg: dog\n", document="")), user=user)
    with pytest.raises(ProtectedError):
        User.objects.get(pk=user.pk).delete()
    assert PackRevision.objects.filter(imported_by=user).exists()


def test_cancelling_adds_history_and_changes_no_event() -> None:
    job = make_job()
    before = list(job.events.values())
    cancel(job.pk, by="somebody")
    assert list(job.events.values())[: len(before)] == before


def test_the_doors_that_stay_are_not_used_in_our_code() -> None:
    root = Path(__file__).parents[2]
    forbidden = {"_raw_delete", "loaddata", "RawSQL", "executemany"}
    used = []
    for app in ("stablenew_site", "diagnostics", "jobs", "webui"):
        for path in (root / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = getattr(node, "attr", None) or getattr(node, "id", None)
                called = getattr(node, "func", None)
                raw_sql = isinstance(called, ast.Attribute) and called.attr == "raw"
                if name in forbidden or raw_sql:
                    used.append(f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)} {name}")
    assert used == []
