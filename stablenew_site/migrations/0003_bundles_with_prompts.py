"""Admins may also take out bundles with prompts."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

ADDED = ("diagnostics.bundle_prompts",)


def allow_admins(apps: Any, schema_editor: Any) -> None:
    """May run again; a group that somebody removed stays away."""
    using = schema_editor.connection.alias
    app: Any = apps.get_app_config("diagnostics")
    # As in the migrations before this one: Django makes permissions only after the last migration.
    app.models_module = getattr(app, "models_module", None) or True
    create_permissions(app, verbosity=0, using=using, apps=apps)
    group = apps.get_model("auth", "Group").objects.using(using).filter(name="admin").first()
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for permission in ADDED if group is not None else ():
        app_label, _, codename = permission.partition(".")
        group.permissions.add(permissions.get(content_type__app_label=app_label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("stablenew_site", "0002_bulk_and_boots"),
        ("diagnostics", "0002_bundles_with_prompts"),
    ]
    operations = [migrations.RunPython(allow_admins, migrations.RunPython.noop)]
