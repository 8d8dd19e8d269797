"""What our own machine does to a run: a picture that cannot be written, a process without descriptors.

None of it says anything about the job or its WebUI, and it would meet the next job as well: `StorageRun`.
"""

from __future__ import annotations

import errno
import logging
import time
from pathlib import Path

from jobs.queue.storage import sentence_of
from jobs.running.departures import StorageRun
from jobs.running.outputs import WrittenPicture, write_picture

logger = logging.getLogger(__name__)

#: A disk over a network stumbles for a moment: so long is waited before the next try.
PAUSES_S = (0.2, 1.0)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
#: That a connection could not even be tried to be made.
NOT_BEGUN = (*NO_DESCRIPTORS, errno.ENOMEM, errno.ENOBUFS)


def write_patiently(directory: Path, stem: str, content: bytes) -> WrittenPicture:
    """`write_picture`, a few times. Raises `StorageRun` where the disk does not take it, `UnusablePictureError`."""
    for pause_s in PAUSES_S:
        try:
            return write_picture(directory, stem, content)
        except OSError as exc:
            logger.warning("A picture was not written at once: %s", exc)
            time.sleep(pause_s)
    try:
        return write_picture(directory, stem, content)
    except OSError as exc:
        raise storage_run(exc, directory) from exc


def own_fault(error: BaseException) -> StorageRun | None:
    """Where a request failed because this process or machine has nothing left to send it with."""
    seen: BaseException | None = error
    for _ in range(16):
        if isinstance(seen, OSError) and seen.errno in NOT_BEGUN:
            words = f"This machine has nothing left to send a request with ({seen.strerror})."
            return StorageRun(words, fresh_process=seen.errno in NO_DESCRIPTORS)
        seen = seen.__cause__ or seen.__context__ if seen is not None else None
    return None


def storage_run(error: OSError, folder: Path) -> StorageRun:
    """That files of this folder cannot be written or read."""
    return StorageRun(sentence_of(error, folder), fresh_process=error.errno in NO_DESCRIPTORS)
