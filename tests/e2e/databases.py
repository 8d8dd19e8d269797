"""A fresh, migrated database per stack and per worker of a session: copied from one that was migrated once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Database:
    """An address as `DATABASE_URL` wants it."""

    url: str

    @property
    def vendor(self) -> str:
        return "postgresql" if self.url.startswith("postgres") else "sqlite"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """One query on a connection of its own; no process and no Django is needed for it."""
        connection: Any
        if self.vendor == "postgresql":
            import psycopg  # only where PostgreSQL is used

            with psycopg.connect(self.url) as connection:
                return list(connection.execute(query).fetchall())
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)) as connection:
            return list(connection.execute(query).fetchall())

    def is_locked(self) -> bool:
        """Somebody holds the embedded database's one write lock at this moment."""
        if self.vendor != "sqlite":
            return False
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
        return False

    def execute(self, statement: str) -> None:
        """One statement outside any transaction (VACUUM takes none)."""
        connection: Any
        if self.vendor == "postgresql":
            import psycopg  # only where PostgreSQL is used

            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(statement)
            return
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as connection:
            connection.execute(statement)


@contextmanager
def shared_template(folder: Path) -> Iterator[Template]:
    """The template of all processes that name this folder: the first one migrates it, the last one drops it."""
    folder.mkdir(exist_ok=True)
    own = folder / f"used-by-{os.getpid()}"
    template = Template(folder)
    with _locked(folder):
        if not list(folder.glob("used-by-*")):
            template.make()
        own.touch()
    try:
        yield template
    finally:
        with _locked(folder):
            own.unlink()
            if not list(folder.glob("used-by-*")):
                template.drop()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Template:
    """The migrated original. `copy` gives one to a stack and takes it away afterwards."""

    def __init__(self, folder: Path) -> None:
        given = os.environ.get("DATABASE_URL", "")
        self._server = given if given.startswith("postgres") else ""
        self._folder = folder
        self._name = f"stack_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"

    def make(self) -> None:
        self.drop()
        if self._server:
            self._execute(f'CREATE DATABASE "{self._name}"')
        _migrate(self._url(self._name), self._folder)

    def begin(self, settings_dict: dict[str, Any]) -> None:
        """Django makes its test database of these settings from this one, and finds nothing to migrate."""
        if self._server:
            settings_dict["TEST"]["TEMPLATE"] = self._name
        else:
            shutil.copy(self._file, settings_dict["TEST"]["NAME"])

    @property
    def _file(self) -> Path:
        return self._folder / f"{self._name}.sqlite3"

    def _url(self, name: str) -> str:
        if self._server:
            return urlunsplit(urlsplit(self._server)._replace(path=f"/{name}"))
        return f"sqlite:///{self._file}"

    @contextmanager
    def copy(self, folder: Path) -> Iterator[Database]:
        if not self._server:
            path = folder / "stablenew.sqlite3"
            shutil.copy(self._file, path)
            yield Database(f"sqlite:///{path}")
            return
        name = f"stack_{uuid.uuid4().hex[:12]}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._name}"')
        try:
            yield Database(self._url(name))
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    @contextmanager
    def empty(self, folder: Path) -> Iterator[Database]:
        """A database without tables, as on a new machine."""
        if not self._server:
            yield Database(f"sqlite:///{folder / 'stablenew.sqlite3'}")
            return
        name = f"stack_{uuid.uuid4().hex[:12]}"
        self._execute(f'CREATE DATABASE "{name}"')
        try:
            yield Database(self._url(name))
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def drop(self) -> None:
        if self._server:
            self._execute(f'DROP DATABASE IF EXISTS "{self._name}" WITH (FORCE)')
        else:
            self._file.unlink(missing_ok=True)

    def _execute(self, statement: str) -> None:
        import psycopg  # only where PostgreSQL is used

        connection: Any = psycopg.connect(self._server, autocommit=True)
        with connection:
            connection.execute(statement)


def _migrate(url: str, folder: Path) -> None:
    env = {**os.environ, "DATABASE_URL": url, "STABLENEW_DATA_DIR": str(folder)}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0"]
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=120)
    if url.startswith("sqlite"):
        # Everything into the one file that is copied.
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
