"""The groups of the roles: a fresh database has them, and making them again changes nothing."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db import connection

from stablenew_site.roles import ROLES, Role
from tests.e2e.databases import Template
from tests.factories import make_user

MIGRATION = importlib.import_module("stablenew_site.migrations.0001_roles")
LATER = importlib.import_module("stablenew_site.migrations.0002_bulk_and_boots")
LATEST = importlib.import_module("stablenew_site.migrations.0003_bundles_with_prompts")


def groups() -> dict[str, set[str]]:
    return {
        group.name: {
            f"{app}.{name}"
            for app, name in group.permissions.values_list("content_type__app_label", "codename")
        }
        for group in Group.objects.all()
    }


def make_groups() -> None:
    with connection.schema_editor() as editor:
        MIGRATION.make_groups(apps, editor)
        LATER.allow_admins(apps, editor)
        LATEST.allow_admins(apps, editor)


def test_a_fresh_database_has_the_groups_and_their_permissions(
    tmp_path: Path, database_template: Template
) -> None:
    query = (
        "SELECT g.name, c.app_label, p.codename FROM auth_group g "
        "JOIN auth_group_permissions gp ON gp.group_id = g.id "
        "JOIN auth_permission p ON p.id = gp.permission_id "
        "JOIN django_content_type c ON c.id = p.content_type_id"
    )
    with database_template.copy(tmp_path) as database:
        found = {(group, f"{app}.{name}") for group, app, name in database.rows(query)}
    assert found == {(str(role), name) for role, allowed in ROLES.items() for name in allowed}


@pytest.mark.django_db(transaction=True)
def test_permissions_that_are_not_there_yet_are_made() -> None:
    """The moment of the migration on an empty database: Django itself makes permissions only later."""
    Group.objects.all().delete()
    Permission.objects.all().delete()
    make_groups()
    assert groups() == {str(role): allowed for role, allowed in ROLES.items()}


@pytest.mark.django_db(transaction=True)
def test_making_the_groups_again_keeps_members_and_what_was_added() -> None:
    make_groups()
    member = make_user(role=Role.ADMIN)
    Group.objects.get(name="operator").permissions.add(Permission.objects.get(codename="view_user"))
    permissions = Permission.objects.count()
    make_groups()
    assert Permission.objects.count() == permissions
    expected = {str(role): set(allowed) for role, allowed in ROLES.items()}
    expected["operator"].add("auth.view_user")
    assert groups() == expected
    assert member in User.objects.filter(groups__name="admin")


@pytest.mark.django_db
def test_each_role_may_what_the_one_before_it_may_and_more() -> None:
    assert ROLES[Role.VIEWER] < ROLES[Role.OPERATOR] < ROLES[Role.ADMIN]
    for role, allowed in ROLES.items():
        assert make_user(role=role).get_all_permissions() == allowed


@pytest.mark.django_db
def test_no_role_may_edit_users_or_anything_else_in_the_admin() -> None:
    changing = {name for name in ROLES[Role.ADMIN] if ".view_" not in name}
    assert changing == {"jobs.change_job", "webui.change_node", "diagnostics.bundle_prompts"}
