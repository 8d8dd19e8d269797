"""How the simulator ends when it is told to by a signal."""

from __future__ import annotations

import os
import signal
from types import FrameType

from webui.simulator.journal import Journal


def tell_of_signals(journal: Journal) -> None:
    """TERM ends the process as it would without us, INT with exit code 0; both leave a line."""

    def terminated(number: int, frame: FrameType | None) -> None:
        journal.end("SIGTERM", -number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def interrupted(number: int, frame: FrameType | None) -> None:
        journal.end("SIGINT", 0)
        os._exit(0)

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, interrupted)
