"""docs/roles.md says what the code and the migration say."""

from __future__ import annotations

import importlib

from stablenew_site import sign_in_limit
from stablenew_site.roles import ROLES, Role
from tests.unit.test_docs import quoted, read, table_rows


def test_the_roles_and_their_permissions_are_those_of_the_code() -> None:
    said: dict[str, set[str]] = {}
    for role, permissions in table_rows(read("docs/roles.md"), "## Permissions"):
        before = set().union(*said.values())
        said[quoted(role)[0]] = before | set(quoted(permissions))
    assert said == {str(role): set(permissions) for role, permissions in ROLES.items()}


def test_each_role_is_explained() -> None:
    rows = table_rows(read("docs/roles.md"), "## What each role may do")
    assert [quoted(row[0])[0] for row in rows] == [str(role) for role in Role]


def test_the_migrations_make_the_groups_of_the_code() -> None:
    first = importlib.import_module("stablenew_site.migrations.0001_roles")
    second = importlib.import_module("stablenew_site.migrations.0002_bulk_and_boots")
    made = {name: set(permissions) for name, permissions in first.GROUPS.items()}
    third = importlib.import_module("stablenew_site.migrations.0003_bundles_with_prompts")
    made[Role.ADMIN].update(second.ADDED, third.ADDED)
    assert made == {str(role): set(permissions) for role, permissions in ROLES.items()}


def test_the_limits_of_logging_in_are_those_of_the_code() -> None:
    text = read("docs/roles.md")
    limits = [int(row[1]) for row in table_rows(text, "## Logging in")]
    code = sign_in_limit
    assert limits == [code.MAX_PER_PAIR, code.MAX_PER_ADDRESS, code.MAX_PER_NAME]
    assert f"for {code.WINDOW_S // 60} minutes" in text
