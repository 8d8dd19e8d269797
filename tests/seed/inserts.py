"""Many prepared rows into one table; only ever adds. The one place outside Django's ORM that writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models

Row = tuple[Any, ...]


class Table:
    """Inserts into the table of a model; columns that are not named get the default of their field.

    Values stand as the database takes them: times by `stamp`, JSON as text, UUIDs as 32 hexadecimal digits.
    """

    def __init__(self, model: type[models.Model], *columns: str) -> None:
        self._model = model
        fields = [
            field for field in model._meta.concrete_fields if not isinstance(field, models.BigAutoField)
        ]
        rest = [field for field in fields if field.column not in columns]
        self._defaults = tuple(field.get_db_prep_save(field.get_default(), connection) for field in rest)
        names = [*columns, *(str(field.column) for field in rest)]
        quoted = ", ".join(connection.ops.quote_name(name) for name in names)
        places = ", ".join(["%s"] * len(names))
        table = connection.ops.quote_name(model._meta.db_table)
        self._copy = f"COPY {table} ({quoted}) FROM STDIN"
        self._sql = f"INSERT INTO {table} ({quoted}) VALUES ({places})"  # noqa: S608 - names of our own columns

    def insert(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        whole = [row + self._defaults for row in rows] if self._defaults else rows
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(self._copy) as copy:
                    for row in whole:
                        copy.write_row(row)
            else:
                cursor.executemany(self._sql, whole)


@lru_cache(maxsize=64)
def stamp(at: datetime) -> Any:
    """A time as the database takes it."""
    return connection.ops.adapt_datetimefield_value(at)


@contextmanager
def in_bulk() -> Iterator[None]:
    """Foreign keys are not looked up at every row, and SQLite does not wait for the disk at every commit.

    Rows that point nowhere would stay unseen, and a power cut would cost the whole database: only for one that was
    empty before.
    """
    with connection.constraint_checks_disabled():
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous")
            (before,) = cursor.fetchone()
            cursor.execute("PRAGMA synchronous=OFF")
            try:
                yield
            finally:
                cursor.execute(f"PRAGMA synchronous={int(before)}")


def after_all(tables: Iterable[type[models.Model]]) -> None:
    """Let the next row of each table get the next free number, and the database know how long the tables are."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(tables)):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            # It would do so by itself in a minute; SQLite plans without, in every installation.
            cursor.execute("ANALYZE")
