"""Before migrations change an embedded database, a copy of it is kept; real files, each test its own."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management.base import CommandError

from stablenew_site.database_copy import COPIES_KEPT, keep_copy

ROOT = Path(__file__).parents[2]
NOON = datetime(2030, 5, 1, 12, 0, 0, tzinfo=UTC)


class Embedded(NamedTuple):
    """A database in use: its one row stands in the log only."""

    path: Path
    connection: sqlite3.Connection

    def copy(self, last_migration: str = "jobs.0001_initial", at: datetime = NOON) -> Path:
        return keep_copy(self.path, self.connection, last_migration, say=lambda line: None, at=at)

    def names(self) -> set[str]:
        """Of everything in its folder that is not of the open database itself."""
        return {one.name for one in self.path.parent.iterdir() if not one.name.startswith(self.path.name)}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    path = tmp_path / "stablenew.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE pictures (name TEXT)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("INSERT INTO pictures VALUES ('castle')")
        yield Embedded(path, connection)


def rows(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name FROM pictures").fetchall()


def test_the_copy_is_a_whole_database_with_what_only_the_log_held(embedded: Embedded, tmp_path: Path) -> None:
    alone = tmp_path / "alone.db"
    shutil.copy(embedded.path, alone)
    assert rows(alone) == []
    alone.unlink()
    embedded.path.chmod(0o600)
    copy = embedded.copy()
    assert copy.name == "stablenew-20300501T120000Z-jobs.0001_initial.sqlite3"
    assert rows(copy) == [("castle",)]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not embedded.path.with_name("stablenew.sqlite3.copying").exists()


def test_the_newest_copies_stay_and_nothing_else_is_touched(embedded: Embedded, tmp_path: Path) -> None:
    for name in ("stablenew-mine.sqlite3", "other-20200101T000000Z-jobs.0001_initial.sqlite3"):
        (tmp_path / name).touch()
    copies = [
        embedded.copy(f"jobs.000{number}_step", NOON + timedelta(hours=number))
        for number in range(COPIES_KEPT + 2)
    ]
    kept = {copy.name for copy in copies[-COPIES_KEPT:]}
    others = {"stablenew-mine.sqlite3", "other-20200101T000000Z-jobs.0001_initial.sqlite3"}
    assert embedded.names() == kept | others


def test_an_upgrade_that_fails_again_and_again_keeps_the_copy_from_before_its_first_try(
    embedded: Embedded,
) -> None:
    before = embedded.copy("jobs.0001_initial")
    tries = [
        embedded.copy("jobs.0003_half_way", NOON + timedelta(minutes=number))
        for number in range(1, COPIES_KEPT + 3)
    ]
    assert embedded.names() == {before.name, tries[-1].name}


def test_a_clock_that_was_put_back_does_not_cost_the_new_copy(embedded: Embedded) -> None:
    for number in range(COPIES_KEPT + 1):
        embedded.copy(f"jobs.000{number}_step", NOON + timedelta(days=number))
    assert embedded.copy("jobs.0001_step", NOON - timedelta(days=9)).exists()


def test_without_room_for_the_copy_nothing_is_upgraded(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(embedded.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=5_000))
    with pytest.raises(CommandError, match=r"not upgraded: a copy of it needs 8.0 KB .* 4.9 KB are free"):
        embedded.copy()
    assert embedded.names() == set()


def test_a_copy_that_breaks_off_is_refused_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    """The system really refuses to write on, in the middle of the file."""
    path = tmp_path / "stablenew.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pictures AS SELECT zeroblob(400000) AS name")
        connection.commit()
    code = (
        "import resource, sqlite3, sys, pathlib\n"
        "from stablenew_site.database_copy import keep_copy\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "keep_copy(path, sqlite3.connect(path), 'jobs.0001_initial', say=print)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "CommandError: The database was not upgraded: it could not be copied to" in last
    assert {one.name for one in tmp_path.iterdir()} == {"stablenew.sqlite3"}
