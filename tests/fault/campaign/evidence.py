"""What a campaign left behind, as plain rows: tables, the simulators' journals, and what the campaign itself did.

Read without the project's models, so that a mistake in them cannot hide itself.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

TABLES = {
    "jobs": "jobs_job",
    "events": "jobs_lifecycleevent",
    "attempts": "jobs_stageattempt",
    "outputs": "jobs_outputimage",
    "history": "jobs_historyentry",
    "records": "jobs_jobrecord",
    "control": "jobs_queuecontrol",
    "nodes": "webui_node",
    "inputs": "jobs_inputpicture",
}
#: Columns that SQLite gives as text and PostgreSQL as values.
JSON_COLUMNS = frozenset({"data", "error", "artifact_paths", "output_paths"})
TOKEN_COLUMNS = frozenset({"run_token"})


@dataclass(frozen=True, slots=True)
class Cancel:
    """That somebody wanted a job ended, when (UTC), and what the answer was; empty where none came."""

    at: datetime
    result: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the campaign did to the installation; times are UTC."""

    submitted: frozenset[int] = frozenset()
    #: The first cancel of each job.
    cancels: Mapping[int, Cancel] = field(default_factory=dict)
    #: Processes of simulators that the campaign started by hand on a node's port.
    foreign_pids: frozenset[int] = frozenset()
    #: Jobs that end the WebUI each time they are rendered.
    poisoned: frozenset[int] = frozenset()
    #: From when to when a node's processes stood still: with them every lock that they had just taken.
    frozen: Sequence[tuple[datetime, datetime]] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is judged. Times are aware datetimes, tokens are hex, JSON is parsed."""

    output_root: Path
    jobs: Sequence[Row] = ()
    events: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    outputs: Sequence[Row] = ()
    history: Sequence[Row] = ()
    records: Sequence[Row] = ()
    control: Sequence[Row] = ()
    nodes: Sequence[Row] = ()
    inputs: Sequence[Row] = ()
    #: Where input pictures lie; None where none was looked at.
    input_root: Path | None = None
    #: By node name, in the order of writing.
    journals: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    asked: Asked = Asked()
    #: Event id -> digest, as it was soon after it was written.
    seen_events: Mapping[int, str] = field(default_factory=dict)
    #: What still ran after everything had been stopped.
    left: Sequence[str] = ()
    #: Files that were left in the folder for temporary ones.
    temporary: Sequence[str] = ()
    #: What was noticed while it happened (two WebUIs of ours on one node, a queue that stood still).
    noticed: Sequence[str] = ()


def read_tables(url: str) -> dict[str, list[Row]]:
    """All rows of the tables that count, in order of their ids."""
    with closing(_connect(url)) as connection:
        return {
            name: _rows(connection, f"SELECT * FROM {table} ORDER BY id")  # noqa: S608
            for name, table in TABLES.items()
        }


def read_events(url: str, after_id: int) -> list[Row]:
    """The events that were written after the one with this id."""
    with closing(_connect(url)) as connection:
        query = f"SELECT * FROM jobs_lifecycleevent WHERE id > {after_id:d} ORDER BY id"  # noqa: S608
        return _rows(connection, query)


def read_journal(path: Path) -> list[Row]:
    """Every whole line; a torn last one tells of nothing."""
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    lines = [json.loads(line) for line in whole]
    return [{**line, "time": datetime.fromisoformat(line["time"])} for line in lines]


def digest_of(event: Row) -> str:
    """Changes with any column of the event."""
    text = json.dumps({name: str(value) for name, value in sorted(event.items())}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _connect(url: str) -> Any:
    if url.startswith("postgres"):
        import psycopg  # only where PostgreSQL is used

        return psycopg.connect(url)
    return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)


def _rows(connection: Any, query: str) -> list[Row]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    readers = [_reader_of(name) for name in names]
    return [
        {name: read(value) for name, read, value in zip(names, readers, row, strict=True)}
        for row in cursor.fetchall()
    ]


def _reader_of(column: str) -> Callable[[Any], Any]:
    if column in JSON_COLUMNS:
        return _document
    if column in TOKEN_COLUMNS:
        return _token
    if column == "at" or column.endswith(("_at", "_until")):
        return _moment
    return lambda value: value


def _document(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _token(value: Any) -> str:
    return "" if value is None else uuid.UUID(str(value)).hex


def _moment(value: Any) -> Any:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value
