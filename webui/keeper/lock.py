"""One keeper per node on this machine: an advisory lock on a file, which dies with its holder."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

try:
    import fcntl
except ImportError:  # a desk without flock runs no nodes, but must be able to import this
    fcntl = None  # type: ignore[assignment]


class KeeperLock:
    """Held from `acquire` until `release` or the end of the process; children that we start do not get it."""

    def __init__(self, node_id: int) -> None:
        self.path = Path(settings.STABLENEW_PROCESS_DIR) / f"node-{node_id}.keeper.lock"
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Takes it if it is free, without waiting. Raises OSError if the folder cannot be written."""
        if self._descriptor is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
