"""One keeper per node on this machine."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from webui.file_lock import FileLock


class KeeperLock(FileLock):
    def __init__(self, node_id: int) -> None:
        super().__init__(Path(settings.STABLENEW_PROCESS_DIR) / f"node-{node_id}.keeper.lock")
