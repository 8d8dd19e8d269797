"""What is nobody's fault and may pass: the database is away, this machine has no descriptor, memory or thread left."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Final

import psutil
from django.db import Error

SHORTAGE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)
"""What this process or machine has run out of. It says nothing about what was asked for."""

CIRCUMSTANCES: Final = (Error, OSError, psutil.Error, MemoryError)
"""What a loop of looks outlives: nothing is concluded from a look that broke off, and the next one begins afresh."""


def start_thread(act: Callable[[], object], name: str) -> threading.Thread:
    """A thread that ends with the process. Raises OSError where the machine has none left."""
    thread = threading.Thread(target=act, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:
        # Of a thread that was made just now it can mean nothing else.
        raise OSError(errno.EAGAIN, "no thread can be started") from exc
    return thread
