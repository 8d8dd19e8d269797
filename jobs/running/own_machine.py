"""What our own machine does to a run: a picture that cannot be written, a process without descriptors or memory.

None of it says anything about the job or its WebUI, and it would meet the next job as well: `StorageRun`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from jobs.queue.storage import sentence_of
from jobs.running.departures import StorageRun
from jobs.running.outputs import WrittenResult
from webui.circumstances import SHORTAGE

logger = logging.getLogger(__name__)

#: A disk over a network stumbles for a moment: so long is waited before the next try.
PAUSES_S = (0.2, 1.0)


def write_patiently(directory: Path, write: Callable[[], WrittenResult]) -> WrittenResult:
    """What `write` writes into this folder, tried a few times. Raises `StorageRun` where the disk does not take it, and
    whatever else `write` raises.
    """
    for pause_s in PAUSES_S:
        try:
            return write()
        except OSError as exc:
            logger.warning("A result was not written at once: %s", exc)
            time.sleep(pause_s)
    try:
        return write()
    except OSError as exc:
        raise storage_run(exc, directory) from exc


def own_fault(error: BaseException) -> StorageRun | None:
    """Where something failed because this process or machine has no descriptors, threads or the like left for it."""
    seen: BaseException | None = error
    for _ in range(16):
        if isinstance(seen, OSError) and seen.errno in SHORTAGE:
            words = f"This machine has run out of what a run needs ({seen.strerror})."
            return StorageRun(words, fresh_process=True)
        seen = seen.__cause__ or seen.__context__ if seen is not None else None
    return None


def of_own_machine(error: OSError | MemoryError, folder: Path) -> StorageRun:
    """What has ended a run, and is no failure of a WebUI; files of this folder where nothing else is to blame."""
    if isinstance(error, MemoryError):
        return StorageRun("This machine has no memory left.", fresh_process=True)
    return own_fault(error) or storage_run(error, folder)


def storage_run(error: OSError, folder: Path) -> StorageRun:
    """That files of this folder cannot be written or read."""
    return StorageRun(sentence_of(error, folder), fresh_process=error.errno in SHORTAGE)
