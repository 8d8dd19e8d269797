"""Fixtures that several kinds of tests use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import TransactionTestCase
from playwright.sync_api import expect
from pytest_django import DjangoDbBlocker

from tests.e2e.databases import Template, shared_template
from tests.e2e.stack import Stack, running_stack
from tests.emptying import Beginning
from tests.promises import PATIENCE_S

#: Who asks for one of these (or is marked `django_db`) depends on the database.
DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "database_template"}

# What a page is waited for, processes must do first, and a busy machine takes its time.
expect.set_options(timeout=PATIENCE_S / 2 * 1000)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what depends on the database: only that must be tried on another one, too."""
    fixtures = item.fixturenames if isinstance(item, pytest.Function) else []
    if item.get_closest_marker("django_db") or not DATABASE_FIXTURES.isdisjoint(fixtures):
        item.add_marker("database")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The database of the tests, which is emptied in our way; see `tests.emptying`."""
    with django_db_blocker.unblock():
        beginning = Beginning()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: beginning.restore())
        yield


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """One for all workers of this session, whose temporary folders lie in one folder."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with shared_template(shared / "template") as template:
        yield template


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, database_template: Template) -> None:
    """Migrating a database takes some seconds, so the one of each worker's tests begins as a copy as well."""
    database_template.begin(connection.settings_dict)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """A copied file is no leftover of an earlier session: the data folder of the tests is new."""
    return connection.vendor == "sqlite"


@pytest.fixture
def stack(tmp_path: Path, database_template: Template) -> Iterator[Stack]:
    """Real processes in a folder of their own; see `tests.e2e.stack`."""
    folder = tmp_path / "data"
    folder.mkdir()
    with database_template.copy(folder) as database:
        yield from running_stack(folder, database, {})
