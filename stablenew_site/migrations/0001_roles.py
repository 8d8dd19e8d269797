"""The groups viewer, operator and admin with their permissions, as `docs/roles.md` lists them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

LOOK = ("jobs.view_job", "webui.view_node")
OPERATE = (*LOOK, "jobs.change_job")
ADMINISTER = (
    *OPERATE,
    "webui.change_node",
    "diagnostics.view_failedjob",
    "jobs.view_historyentry",
    "jobs.view_jobrecord",
    "jobs.view_lifecycleevent",
    "jobs.view_outputimage",
    "jobs.view_packrevision",
    "jobs.view_promptpack",
    "jobs.view_queuecontrol",
    "jobs.view_runner",
    "jobs.view_stageattempt",
    "jobs.view_submission",
)
GROUPS = {"viewer": LOOK, "operator": OPERATE, "admin": ADMINISTER}


def make_groups(apps: Any, schema_editor: Any) -> None:
    """May run again. A group of such a name that exists keeps its members and what else it may."""
    using = schema_editor.connection.alias
    for label in ("webui", "jobs", "diagnostics"):
        _make_permissions(apps.get_app_config(label), apps, using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, allowed in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        for permission in allowed:
            app, _, codename = permission.partition(".")
            group.permissions.add(permissions.get(content_type__app_label=app, codename=codename))


def _make_permissions(app: Any, apps: Any, using: str) -> None:
    """Django makes them after the last migration only, which is too late for a fresh database."""
    # Apps as migrations see them have no module, and without one Django makes no permissions.
    app.models_module = getattr(app, "models_module", None) or True
    create_permissions(app, verbosity=0, using=using, apps=apps)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("diagnostics", "0001_failed_job"),
        ("jobs", "0002_retry_takes_breaker_and_causes"),
        ("webui", "0002_restart_means_and_failed_starts"),
    ]
    # Going back leaves the groups: people are in them, and no older version minds.
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
