"""The worker's own folder: private, locked as long as the process lives, removed at its end.

A process that was killed leaves its folder behind; the next worker removes it, because nobody holds its lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "stablenew-worker-"
_LOCK: Final = "lock"


class WorkerFolder:
    """`inputs` and `results` lie in it. Raises OSError where no folder can be made."""

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        _remove_abandoned(parent)
        # Under its own name only once it is locked: until then nobody takes it for an abandoned one.
        draft = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=parent))
        self._lock = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = draft.with_name(draft.name.removeprefix("."))
        draft.rename(self.path)
        self.inputs = self.path / "inputs"
        self.results = self.path / "results"
        self.inputs.mkdir()
        self.results.mkdir()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        try:
            if path.stat().st_uid != os.getuid() or path.is_symlink():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
