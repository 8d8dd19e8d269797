"""Queries that never change, composed once: for Django putting one together takes longer than running it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from django.db import connections
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
Row = TypeVar("Row")


class Composed(Generic[M, Row]):
    """Asks a queryset again and again. Its parameters are those of its making: nothing in it may depend on now.

    Each thread composes it for itself, because it has its own connection. Its rows are as the queryset would give them.
    """

    def __init__(self, queryset: QuerySet[M, Row]) -> None:
        self._queryset = queryset
        self._own = threading.local()

    def __iter__(self) -> Iterator[Row]:
        asked: Any = getattr(self._own, "queryset", None) or self._composed()
        # What a queryset itself iterates by; the queryset would remember the rows.
        return iter(asked._iterable_class(asked))

    def one(self) -> Row:
        """Its only row. Raises the model's DoesNotExist where there is none."""
        for row in self:
            return row
        return self._queryset.get()

    def _composed(self) -> Any:
        queryset: Any = self._queryset.all()
        compiler = queryset.query.get_compiler(connection=connections[queryset.db])
        sql = compiler.as_sql()
        compiler.as_sql = lambda *args, **options: sql
        queryset.query.get_compiler = lambda *args, **options: compiler
        self._own.queryset = queryset
        return queryset
