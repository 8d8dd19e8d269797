"""What `tests.upgrade` takes for a loss, and what only for something new; real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.databases import Database
from tests.upgrade import contents
from tests.upgrade.contents import columns, contents_of, differences

BEFORE = (
    "CREATE TABLE jobs (id INTEGER PRIMARY KEY, status TEXT, facts TEXT)",
    "INSERT INTO jobs VALUES (1, 'QUEUED', '{}'), (2, 'FAILED', '{}'), (5, 'QUEUED', NULL)",
    "CREATE TABLE sessions (key TEXT PRIMARY KEY, data TEXT)",
    "INSERT INTO sessions VALUES ('b', 'x'), ('a', 'y')",
    "CREATE TABLE tasks (id TEXT PRIMARY KEY)",
    "INSERT INTO tasks VALUES ('one')",
    "CREATE TABLE empty (id INTEGER PRIMARY KEY)",
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'some.sqlite3'}")
    for statement in BEFORE:
        made.execute(statement)
    return made


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "ROWS_AT_ONCE", 2)


def found_after(database: Database, *statements: str, may_change: tuple[str, ...] = ()) -> list[str]:
    before = contents_of(database)
    for statement in statements:
        database.execute(statement)
    after = contents_of(database, before)
    return [one.place for one in differences(before, after, may_change)]


@pytest.mark.parametrize(
    ("statement", "places"),
    [
        ("DELETE FROM jobs WHERE id = 2", {"jobs", "jobs.facts", "jobs.id", "jobs.status"}),
        ("DELETE FROM jobs WHERE id = 5", {"jobs", "jobs.facts", "jobs.id", "jobs.status"}),
        ("UPDATE jobs SET facts = '{ }' WHERE id = 1", {"jobs.facts"}),
        ("UPDATE jobs SET facts = 'None' WHERE id = 5", {"jobs.facts"}),
        ("UPDATE sessions SET data = 'yy' WHERE key = 'a'", {"sessions.data"}),
        ("DELETE FROM tasks", {"tasks", "tasks.id"}),
        ("DROP TABLE sessions", {"sessions"}),
    ],
)
def test_what_is_lost_or_changed_is_told_by_its_place(
    database: Database, statement: str, places: set[str]
) -> None:
    assert set(found_after(database, statement)) == places


def test_swapped_values_are_a_change(database: Database) -> None:
    swap = "UPDATE jobs SET status = CASE id WHEN 1 THEN 'FAILED' ELSE 'QUEUED' END WHERE id < 3"
    assert found_after(database, swap) == ["jobs.status"]


def test_new_rows_columns_and_tables_are_no_loss(database: Database) -> None:
    before = columns(contents_of(database))
    new = (
        "INSERT INTO jobs VALUES (6, 'QUEUED', '{}')",
        "INSERT INTO empty VALUES (1)",
        "ALTER TABLE jobs ADD COLUMN needs_attention INTEGER DEFAULT 0",
        "CREATE TABLE more (id INTEGER PRIMARY KEY)",
    )
    assert found_after(database, *new) == []
    assert columns(contents_of(database)) - before == {"jobs.needs_attention", "more.id"}


def test_what_a_migration_changes_on_purpose_can_be_named(database: Database) -> None:
    changes = ("UPDATE jobs SET facts = ''", "DROP TABLE sessions", "UPDATE jobs SET status = ''")
    assert found_after(database, *changes, may_change=("jobs.facts", "sessions")) == ["jobs.status"]
