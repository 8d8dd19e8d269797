"""A copy of an embedded database, kept beside it before its migrations change it.

Whoever migrates gets one: `up` and `manage.py migrate` alike. Of a PostgreSQL database nobody here makes one.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, OutputWrapper
from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import pre_migrate
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from webui.private_files import private

COPIES_KEPT = 3
#: What the name of a copy adds to the stem of the database's: when it was made, and the last migration that it has.
ADDED = r"-\d{8}T\d{6}Z-(?P<last_migration>.+)"


def copy_before_migrations() -> None:
    """From here on, migrations of an embedded database that holds anything begin with a copy of it."""
    # The signal comes once for each app that has models: one of them stands for all.
    pre_migrate.connect(_about_to_migrate, sender=apps.get_app_config("jobs"))


def _about_to_migrate(
    *, using: str, stdout: OutputWrapper, plan: Sequence[tuple[Migration, bool]] = (), **_: Any
) -> None:
    database = connections[using]
    recorder = MigrationRecorder(database)
    if not plan or database.vendor != "sqlite" or not recorder.has_table():
        return
    last, path = recorder.migration_qs.order_by("id").last(), Path(database.settings_dict["NAME"])

    def say(line: str) -> None:
        stdout.write(line)
        stdout.flush()

    if last is not None and path.is_file():
        keep_copy(path, database.connection, f"{last.app}.{last.name}", say=say)


def keep_copy(
    path: Path,
    source: sqlite3.Connection,
    last_migration: str,
    *,
    say: Callable[[str], None],
    at: datetime | None = None,
) -> Path:
    """Copy the database at `path`, with what only its log holds yet, to a file beside it; returns that file.

    Of older copies the newest stay, but only one for each last migration: an upgrade that fails again and again must
    not push out the copy from before its first try. Raises `CommandError` where the copy cannot be made.
    """
    at = at or timezone.now()
    copy = path.with_name(f"{path.stem}-{at:%Y%m%dT%H%M%SZ}-{last_migration}{path.suffix}")
    pages, page_bytes = (
        source.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size")
    )
    size_bytes, free_bytes = pages * page_bytes, shutil.disk_usage(path.parent).free
    if free_bytes < size_bytes:
        raise CommandError(
            f"The database was not upgraded: a copy of it needs {_size(size_bytes)} in {path.parent}, where only "
            f"{_size(free_bytes)} are free. Free some space, then start again."
        )
    say(f"Copying the database ({_size(size_bytes)}) before it is upgraded: {copy}")
    # An unfinished copy never has the name of a whole one.
    unfinished = path.with_name(f"{path.name}.copying")
    try:
        unfinished.unlink(missing_ok=True)
        with open(unfinished, "xb", opener=private):
            pass
        with closing(sqlite3.connect(unfinished)) as target:
            source.backup(target)
        shutil.copymode(path, unfinished)
        unfinished.replace(copy)
    except (sqlite3.Error, OSError) as exc:
        unfinished.unlink(missing_ok=True)
        raise CommandError(
            f"The database was not upgraded: it could not be copied to {path.parent} ({exc}). "
            "Make sure that there is room and that the folder can be written, then start again."
        ) from exc
    _drop_older(path, copy, last_migration)
    return copy


def _drop_older(path: Path, copy: Path, last_migration: str) -> None:
    name = re.compile(re.escape(path.stem) + ADDED + re.escape(path.suffix))
    kept = {last_migration}
    for older in sorted(path.parent.iterdir(), reverse=True):
        known = name.fullmatch(older.name)
        if known is None or older == copy:
            continue
        if known["last_migration"] in kept or len(kept) == COPIES_KEPT:
            older.unlink()
        else:
            kept.add(known["last_migration"])


def _size(size_bytes: int) -> str:
    return filesizeformat(size_bytes).replace("\xa0", " ")
