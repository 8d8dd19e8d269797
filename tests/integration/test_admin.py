"""The admin looks at every table, changes none of ours, and shows nothing of the engine or of secrets."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import OrmQ

from jobs.models import (
    BulkAction,
    BulkVerb,
    CheckpointTrouble,
    InputPicture,
    InputUse,
    NeedSet,
    NodeLack,
    TruthCheck,
)
from tests.factories import make_job, make_node, make_pack, make_runner, make_user, submit
from tests.integration.finished_jobs import complete, fail
from tests.markup import markup
from webui.models import Boot, NodeCatalog

pytestmark = pytest.mark.django_db

OURS: list[type[Model]] = [
    *apps.get_app_config("jobs").get_models(),
    *apps.get_app_config("webui").get_models(),
]


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    return client


@pytest.fixture
def rows() -> None:
    runner = make_runner(
        make_node(
            "alpha",
            base_url="http://user:in-address@127.0.0.1:7860",
            api_auth="user:in-column",
            start_command="./webui.sh --api --api-auth user:in-command",
            restart_command="systemctl restart webui --token in-restart",
        )
    )
    submit(make_pack(), repeat=3)
    done = complete(runner)
    TruthCheck.objects.create(output=done.outputs.get(), verdict="verified", fields=[], rules=1)
    picture = InputPicture.objects.create(
        sha256="0" * 64, size_bytes=1, width_px=1, height_px=1, format="PNG", name="cat.png"
    )
    InputUse.objects.create(record=done.record, picture=picture)
    fail(runner)
    BulkAction.objects.create(verb=BulkVerb.RETRY, asked_by="ada", total=1)
    Boot.objects.create(node=runner.node, generation=1)
    NodeCatalog.objects.create(node=runner.node)
    CheckpointTrouble.objects.create(node=runner.node, checkpoint="tinyNaN", failures=1, what="gave NaN")
    NodeLack.objects.create(node=runner.node, needs=NeedSet.objects.get(), missing=[LACK])


LACK = {"thing": "LoRA", "name": "foo", "nearest": "", "why": ""}


def address(model: type[Model], page: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_table_is_listed_searched_filtered_and_read_only(
    root: Client, rows: None, model: type[Model]
) -> None:
    registered = admin.site.get_model_admin(model)
    assert registered.search_fields
    assert registered.list_filter or model.__name__ == "PromptPack"
    listed = root.get(address(model, "changelist"))
    assert listed.status_code == 200
    assert root.get(address(model, "changelist") + "?q=1").status_code == 200
    row = model._default_manager.first()
    assert row is not None
    shown = root.get(address(model, "change", row.pk))
    assert shown.status_code == 200
    assert 'name="_save"' not in markup(shown)
    before = model._default_manager.count()
    assert root.get(address(model, "add")).status_code == 403
    assert root.post(address(model, "change", row.pk), {"status": "FAILED"}).status_code == 403
    assert root.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert model._default_manager.count() == before


def test_credentials_of_a_node_are_shown_nowhere(root: Client, rows: None) -> None:
    node = apps.get_model("webui", "Node")._default_manager.get()
    pages = [
        root.get(address(type(node), "changelist")),
        root.get(address(type(node), "change", node.pk)),
        root.get(reverse("node-strip")),
        root.get(reverse("queue")),
    ]
    for page in pages:
        text = markup(page)
        assert "alpha" in text or page is pages[-1]
        for secret in ("in-address", "in-column", "in-command", "in-restart"):
            assert secret not in text


def test_pages_of_the_engine_are_not_offered(root: Client) -> None:
    assert OrmQ not in admin.site._registry
    assert not [model for model in admin.site._registry if model._meta.app_label == "django_q"]
    assert "django_q" not in markup(root.get(reverse("admin:index")))


def test_users_and_groups_can_be_edited(root: Client) -> None:
    user = make_user("ada")
    shown = root.get(reverse("admin:auth_user_change", args=[user.pk]))
    assert 'name="_save"' in markup(shown)
    assert root.get(reverse("admin:auth_group_add")).status_code == 200


def test_list_of_jobs_costs_the_same_whatever_its_length(
    root: Client,
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as caught:
            root.get(reverse("admin:jobs_job_changelist"))
        return len(caught)

    make_job()
    root.get(reverse("admin:jobs_job_changelist"))
    few = count()
    submit(repeat=30)
    assert count() == few


def test_staff_without_permissions_sees_no_table(client: Client) -> None:
    client.force_login(make_user("staff", is_staff=True))
    assert client.get(reverse("admin:jobs_job_changelist")).status_code == 403
