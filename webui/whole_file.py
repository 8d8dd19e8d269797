"""A file that is there whole or not at all, also after a crash."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Temporary file, fsync, rename; `durable` False leaves out what only a crash of the machine needs.

    Makes its folder, but none above that: a tree that was moved away is missed, and not made anew. Raises OSError,
    and then leaves no temporary file behind.
    """
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """The names of its files outlast a crash of the machine."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
