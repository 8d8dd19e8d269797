"""A file that is there whole or not at all, also after a crash."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from webui import private_files


def write_file(path: Path, content: bytes, *, durable: bool = True, private: bool = False) -> None:
    """Temporary file, fsync, rename; `durable` False leaves out what only a crash of the machine needs.

    `private`: the file, and its folder where that is made, are for this user alone.

    Makes its folder, but none above that: a tree that was moved away is missed, and not made anew. Raises OSError,
    and then leaves no temporary file behind.
    """
    path.parent.mkdir(mode=private_files.FOLDER_MODE if private else 0o777, exist_ok=True)
    # Two threads may write the same file.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(draft, "wb", opener=private_files.private if private else None) as file:
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
