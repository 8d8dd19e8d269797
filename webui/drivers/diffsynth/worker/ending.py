"""How the process ends: at once, its folder removed, whatever its threads are doing."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from webui.drivers.diffsynth.worker.folder import WorkerFolder
from webui.drivers.diffsynth.worker.speech import say

PARENT_LOOK_S: Final = 1.0


def leaver(folder: WorkerFolder) -> Callable[[int], None]:
    """Ends the process with a status; no thread of a library can hold it up."""

    def leave(status: int) -> None:
        folder.remove()
        sys.stderr.flush()
        os._exit(status)

    return leave


def leave_on_signals(leave: Callable[[int], None]) -> None:
    """TERM and Ctrl-C: a running job is lost."""

    def end(number: int, _: FrameType | None) -> None:
        say(f"ending: {signal.Signals(number).name}")
        leave(128 + number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def leave_with_parent(parent: int, leave: Callable[[int], None]) -> None:
    """`parent` is the process that started this one; another one takes its place when it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_LOOK_S)
        say("ending: the process that started it is gone")
        leave(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()
