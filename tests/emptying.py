"""A database is emptied after a test with real transactions: by deleting its rows, and without Django's `flush`.

`flush` truncates every table of PostgreSQL, which makes hundreds of files anew, and then asks for every table whether
content types and permissions are there: most of the time of such a test. What a migrated database begins with is kept
instead and put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

#: Rows that are deleted leave their place taken. A larger file is made anew, so that no later test reads through it.
SMALL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """Of one table."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


class Beginning:
    """The rows of the database as it is now. `restore` makes them its only rows again."""

    def __init__(self) -> None:
        self._tables: Sequence[str] = connection.introspection.django_table_names(
            only_existing=True, include_views=False
        )
        with connection.cursor() as cursor:
            self._contents = {table: _read(cursor, table) for table in self._tables}

    def restore(self) -> None:
        if self._has_grown():
            connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), self._tables))
        # Whether rows point to each other is asked at the end, so their order is free.
        with transaction.atomic(), connection.cursor() as cursor:
            for table, content in self._contents.items():
                if content.rows and _read(cursor, table) == content:
                    continue
                cursor.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608
                if content.rows:
                    columns = ", ".join(map(_quoted, content.columns))
                    marks = ", ".join(["%s"] * len(content.columns))
                    insert = f"INSERT INTO {_quoted(table)} ({columns}) VALUES ({marks})"  # noqa: S608
                    cursor.executemany(insert, content.rows)

    def _has_grown(self) -> bool:
        if connection.vendor != "postgresql":
            return False
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT max(pg_relation_size(oid)) FROM pg_class WHERE relname = ANY(%s)",
                [list(self._tables)],
            )
            [largest_bytes] = cursor.fetchone()
        return bool(largest_bytes > SMALL_BYTES)


def _read(cursor: CursorWrapper, table: str) -> Content:
    cursor.execute(f"SELECT * FROM {_quoted(table)}")  # noqa: S608
    return Content([column[0] for column in cursor.description], cursor.fetchall())


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
