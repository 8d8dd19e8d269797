"""What this machine takes for known work just now, measured beside every part: times of two days compare through it."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from django.db import connection, transaction

from jobs.models import Job, LifecycleEvent, QueueControl

SQUARES = 5_000_000
SYNCS = 20
PAGE = bytes(4096)
#: Added to the number of an event, so that its copy is another event of the same job.
COPIES_FROM = 1_000_000


def calibrate(folder: Path) -> dict[str, float]:
    """Seconds of a loop in Python, milliseconds of one fsync in this folder."""
    return {"squares_s": _squares_s(), "fsync_ms": _fsync_ms(folder)}


def _squares_s() -> float:
    total = 0
    began_s = time.perf_counter()
    for number in range(SQUARES):
        total += number * number
    return time.perf_counter() - began_s


def _fsync_ms(folder: Path) -> float:
    times_ms = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(SYNCS):
            file.write(PAGE)
            began_s = time.perf_counter()
            os.fsync(file.fileno())
            times_ms.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(times_ms)


def bare_move_ms(groups: Sequence[Sequence[int]]) -> float:
    """Milliseconds of the transaction that moves a group of jobs, in plain SQL; the median of the groups.

    Each job's row is written, with one more event, and the ledger. Everything is afterwards as it was.
    """
    times_ms = []
    for ids in groups:
        began_s = time.perf_counter()
        _write(ids)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        events = LifecycleEvent._meta.db_table
        _run(f"DELETE FROM {events} WHERE job_id IN {_places(ids)} AND sequence > {COPIES_FROM}", ids)  # noqa: S608 - our own names
    return statistics.median(times_ms)


def _write(ids: Sequence[int]) -> None:
    jobs, events, control = (model._meta.db_table for model in (Job, LifecycleEvent, QueueControl))
    columns = [str(field.column) for field in LifecycleEvent._meta.concrete_fields if not field.primary_key]
    copied = ", ".join(f"sequence + {COPIES_FROM}" if name == "sequence" else name for name in columns)
    with transaction.atomic():
        _run(f"UPDATE {jobs} SET last_sequence = last_sequence WHERE id IN {_places(ids)}", ids)  # noqa: S608
        _run(
            f"INSERT INTO {events} ({', '.join(columns)}) SELECT {copied} FROM {events} "  # noqa: S608
            f"WHERE job_id IN {_places(ids)} AND sequence = 1",
            ids,
        )
        _run(f"UPDATE {control} SET version = version + 1", ())  # noqa: S608


def _places(ids: Sequence[int]) -> str:
    return f"({', '.join(['%s'] * len(ids))})"


def _run(statement: str, values: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
