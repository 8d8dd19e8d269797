"""What a child of `up` does about its parent's death: it stops as if asked by TERM."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_EVERY_S = 0.5


def stop_with_parent(parent_pid: int) -> None:
    """Watch from a thread; when `parent_pid` is no longer our parent, this process gets TERM."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(LOOK_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
