"""Tables that are only ever added to: every door that Django has for changing a row refuses.

Doors that stay open on purpose are raw SQL, `loaddata` and `_raw_delete`; a test keeps them out of our code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from django.db import models

RowT = TypeVar("RowT", bound=models.Model, covariant=True)


class ImmutableRowError(TypeError):
    """This table is history: its rows are added once and never changed or deleted."""

    def __init__(self, table: str, door: str) -> None:
        super().__init__(f"{table} rows are added once and never changed or deleted: {door} is refused.")
        self.table = table
        self.door = door


class InsertOnlyQuerySet(models.QuerySet[RowT]):
    def _refuse(self, door: str) -> NoReturn:
        raise ImmutableRowError(self.model.__name__, door)

    def update(self, **kwargs: Any) -> int:
        self._refuse("update()")

    def delete(self) -> tuple[int, dict[str, int]]:
        self._refuse("delete()")

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        self._refuse("bulk_update()")

    def bulk_create(
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Any]:
        if update_conflicts:
            self._refuse("bulk_create(update_conflicts=True)")
        return super().bulk_create(objs, batch_size=batch_size, ignore_conflicts=ignore_conflicts)


class InsertOnlyModel(models.Model):
    """A row that is written once. Subclasses inherit `Meta` from `InsertOnlyModel.Meta`."""

    objects = InsertOnlyQuerySet.as_manager()

    class Meta:
        abstract = True
        # Related managers and Model.save() use the base manager: it must refuse as well.
        base_manager_name = "objects"

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        if not self._state.adding or force_update or update_fields is not None:
            raise ImmutableRowError(type(self).__name__, "save() of an existing row")
        # force_insert: an INSERT with a key that exists fails instead of becoming an UPDATE.
        super().save(force_insert=True, using=using)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        raise ImmutableRowError(type(self).__name__, "delete()")


__all__: Sequence[str] = ("ImmutableRowError", "InsertOnlyModel", "InsertOnlyQuerySet")
