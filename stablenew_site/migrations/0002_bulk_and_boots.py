"""Admins may also look at the acts on many jobs and at the boots of nodes."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

ADDED = ("jobs.view_bulkaction", "webui.view_boot")


def allow_admins(apps: Any, schema_editor: Any) -> None:
    """May run again; a group that somebody removed stays away."""
    using = schema_editor.connection.alias
    for label in ("webui", "jobs"):
        app: Any = apps.get_app_config(label)
        # As in the migration before this one: Django makes permissions only after the last migration.
        app.models_module = getattr(app, "models_module", None) or True
        create_permissions(app, verbosity=0, using=using, apps=apps)
    group = apps.get_model("auth", "Group").objects.using(using).filter(name="admin").first()
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for permission in ADDED if group is not None else ():
        app_label, _, codename = permission.partition(".")
        group.permissions.add(permissions.get(content_type__app_label=app_label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("stablenew_site", "0001_roles"),
        ("jobs", "0003_lists_bulk_and_attention"),
        ("webui", "0003_boots"),
    ]
    operations = [migrations.RunPython(allow_admins, migrations.RunPython.noop)]
