"""Queries that never change, composed once: for Django putting one together takes longer than running it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

#: Texts that SQL spells as they are.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:-]*")

M = TypeVar("M", bound=Model)
Row = TypeVar("Row")


class Composed(Generic[M, Row]):
    """Asks a queryset again and again. Its parameters are those of its making: nothing in it may depend on now.

    Each thread composes it for itself, because it has its own connection, and again where that is another one by now
    (a thread in which an event loop runs has one beside). Its rows are as the queryset would give them.
    """

    def __init__(self, queryset: QuerySet[M, Row]) -> None:
        self._queryset = queryset
        self._own = threading.local()

    def __iter__(self) -> Iterator[Row]:
        connection = connections[self._queryset.db]
        if getattr(self._own, "connection", None) is not connection:
            self._own.queryset, self._own.connection = self._composed(connection), connection
        asked: Any = self._own.queryset
        # What a queryset itself iterates by; the queryset would remember the rows.
        return iter(asked._iterable_class(asked))

    def one(self) -> Row:
        """Its only row. Raises the model's DoesNotExist where there is none."""
        for row in self:
            return row
        return self._queryset.get()

    def _composed(self, connection: BaseDatabaseWrapper) -> Any:
        queryset: Any = self._queryset.all()
        compiler = queryset.query.get_compiler(connection=connection)
        sql = compiler.as_sql()
        if connection.vendor == "sqlite":
            sql = _spelled_out(*sql)
        compiler.as_sql = lambda *args, **options: sql
        queryset.query.get_compiler = lambda *args, **options: compiler
        return queryset


def _spelled_out(sql: str, params: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """With the values in their places where all are plain.

    SQLite plans a statement anew at each run while a bound value decides whether a partial index helps: for the claim's
    look at its runner that took ten times as long as the look itself.
    """
    plain = all(isinstance(one, int) or (isinstance(one, str) and _PLAIN.fullmatch(one)) for one in params)
    if not plain or "%%" in sql:
        return sql, params
    return sql % tuple(f"'{one}'" if isinstance(one, str) else int(one) for one in params), ()
