"""A new embedded database is for this user alone from its first row on: it will hold passwords and sessions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from webui.private_files import FILE_MODE

#: What SQLite keeps beside a database; it makes them with the mode of the database.
SIDE_FILES = ("-wal", "-shm")


def close_new_database(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Called with every new connection: SQLite has made the file, and nothing is in it as long as it has no table."""
    if connection.vendor != "sqlite" or connection.connection is None:
        return
    path = Path(connection.settings_dict["NAME"])
    # The driver's own connection: this is no query of ours.
    if connection.connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
        for file in (path, *(path.with_name(path.name + ending) for ending in SIDE_FILES)):
            # Somebody else's file, or a file system without modes: `check` tells of it.
            with suppress(OSError):
                file.chmod(FILE_MODE)
