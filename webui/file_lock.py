"""A lock between processes of this machine: an flock on a file, which dies with its holder."""

from __future__ import annotations

import os
from pathlib import Path

from webui.private_files import make_private_folder


class FileLock:
    """Held from `acquire` until `release`, or until the last process of its holder's forks has ended.

    A raw descriptor, because lock libraries unlock in forks; a program started by exec does not inherit it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Takes it if it is free, without waiting. Raises OSError if the folder cannot be written."""
        if self._descriptor is not None:
            return True
        import fcntl  # not on Windows, where the rest of the project must still import

        make_private_folder(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            if isinstance(exc, BlockingIOError):
                return False
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """The process that took it, as the file says."""
        return self.path.read_text(encoding="ascii", errors="replace").strip() or "unknown"

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
