"""Hold a process of a stack exactly before one of its writes, by a trigger of the stack's own database.

    with closed(stack.database, "INSERT ON jobs_outputimage"):
        stack.wait_until(lambda: pictures(stack), "the picture is on disk")
        os.kill(worker_pid(stack), signal.SIGKILL)

The product knows nothing of it: its statement takes long, as on a database that is busy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.e2e.databases import Database

#: Rows that SQLite counts before the statement goes on: many seconds, so that a test that fails ends all the same.
COUNTED_ROWS = 60_000_000
ADVISORY_KEY = 20_260


@contextmanager
def closed(database: Database, write: str, *, when: str = "true") -> Iterator[None]:
    """Rows of this kind of write wait while the block lasts, e.g. "UPDATE OF pid ON webui_node", `when` its new row.

    The block kills the process that waits: on SQLite that process holds the write lock until then.
    """
    trigger = f"CREATE TRIGGER gate BEFORE {write} FOR EACH ROW WHEN ({when})"
    table = write.split()[-1]
    gate = _postgresql(database.url, trigger, table) if database.vendor == "postgresql" else None
    with gate or _sqlite(database.url, trigger):
        yield


@contextmanager
def _sqlite(url: str, trigger: str) -> Iterator[None]:
    """SQLite has no sleep: it counts."""
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        # A trigger may not count by itself (no WITH in it); a view may.
        connection.execute(
            "CREATE VIEW gate_count AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        )
        wait = f"SELECT max(i) FROM (SELECT i FROM gate_count LIMIT {COUNTED_ROWS})"  # noqa: S608
        connection.execute(f"{trigger} BEGIN {wait}; END")
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER gate")
            connection.execute("DROP VIEW gate_count")


@contextmanager
def _postgresql(url: str, trigger: str, table: str) -> Iterator[None]:
    """Whoever comes waits for a lock that this connection holds."""
    import psycopg  # only where PostgreSQL is used

    connection: Any = psycopg.connect(url, autocommit=True)
    with connection:
        connection.execute(
            "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM pg_advisory_xact_lock_shared({ADVISORY_KEY}); RETURN NEW; END $$"
        )
        connection.execute(f"SELECT pg_advisory_lock({ADVISORY_KEY})")
        connection.execute(f"{trigger} EXECUTE FUNCTION gate()")
        try:
            yield
        finally:
            connection.execute(f"SELECT pg_advisory_unlock({ADVISORY_KEY})")
            connection.execute(f"DROP TRIGGER gate ON {table}")
            connection.execute("DROP FUNCTION gate()")
