"""What a database holds, told by counts and digests, and what of it is different afterwards.

Read by plain SQL, so that no layout of modules or models matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.databases import Database

ROWS_AT_ONCE = 20_000
TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
}
COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info('{table}')",
    "postgresql": "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'",
}


@dataclass(frozen=True, slots=True)
class Table:
    """`digests` has one of each column's values; `last_id` is None where rows have no number that only grows."""

    rows: int
    last_id: int | None
    digests: Mapping[str, str]


Contents = Mapping[str, Table]


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one table, or of one of its columns; what is only new is none."""

    place: str
    words: str


def contents_of(database: Database, known: Contents | None = None) -> dict[str, Table]:
    """Every table; of those that are `known`, only the rows that were there already."""
    known = known or {}
    return {
        table: _read(database, table, known[table].last_id if table in known else None)
        for (table,) in database.rows(TABLES[database.vendor])
    }


def differences(before: Contents, after: Contents, may_change: Collection[str] = ()) -> list[Difference]:
    """What was lost or became something else; `may_change` holds places (table, or table.column) that may."""
    found = []
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            found.append(Difference(name, f"The table is gone, with {old.rows:,} rows."))
            continue
        if new.rows != old.rows:
            found.append(Difference(name, f"{old.rows:,} rows were there, {new.rows:,} of them are left."))
        found += [
            Difference(f"{name}.{column}", "The values are not those that were there.")
            for column, digest in old.digests.items()
            if new.digests.get(column, digest) != digest
        ]
    return [one for one in found if not {one.place, one.place.partition(".")[0]}.intersection(may_change)]


def columns(contents: Contents) -> set[str]:
    return {f"{name}.{column}" for name, table in contents.items() for column in table.digests}


def _read(database: Database, table: str, upto: int | None) -> Table:
    names = sorted(name for (name,) in database.rows(COLUMNS[database.vendor].format(table=table)))
    digests = {name: hashlib.blake2b(digest_size=16) for name in names}
    [(newest,)] = database.rows(f'SELECT MAX(id) FROM "{table}"') if "id" in names else [("",)]  # noqa: S608
    # An empty table may grow, too.
    last_id = newest or 0 if isinstance(newest, int | None) else None
    rows = 0
    for row in _rows(database, table, names, last_id if upto is None else upto):
        rows += 1
        for name, value in zip(names, row, strict=True):
            digests[name].update(repr(value).encode() + b"\n")
    return Table(rows, last_id, {name: digest.hexdigest() for name, digest in digests.items()})


def _rows(database: Database, table: str, names: list[str], last_id: int | None) -> Iterator[tuple[Any, ...]]:
    """In an order that does not change: by id up to `last_id`, page after page; without one all at once."""
    chosen = ", ".join(f'"{name}"' for name in names)
    if last_id is None:
        yield from sorted(database.rows(f'SELECT {chosen} FROM "{table}"'), key=repr)  # noqa: S608
        return
    after = 0
    while after < last_id:
        span = f"id > {after} AND id <= {last_id} ORDER BY id LIMIT {ROWS_AT_ONCE}"
        page = database.rows(f'SELECT {chosen} FROM "{table}" WHERE {span}')  # noqa: S608
        yield from page
        after = page[-1][names.index("id")] if page else last_id
