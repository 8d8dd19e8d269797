"""The picture that a WebUI is just making: fetched by the run beside its request, shown while that run goes on.

One file per node, of the running job alone: it goes when the run ends. Whatever fails here is no harm to a job.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from django.conf import settings

from jobs.errors import UnreadablePictureError
from jobs.lifecycle import JobStatus
from jobs.models import Job, Runner
from jobs.running.small_pictures import small_webp
from webui.circumstances import start_thread
from webui.driver import Server
from webui.errors import WebUIError
from webui.models import Node
from webui.whole_file import write_file
from webui.work.told import Progress

logger = logging.getLogger(__name__)

EDGE_PX = 512
#: Far above what a WebUI shows of a picture that it is making.
MOST_PIXELS = 4_096 * 4_096
MOST_BYTES = 16 * 1024 * 1024


def preview_path(node: Node) -> Path:
    """Where the preview of this node's running job is, if there is one. Names of nodes are slugs."""
    return Path(settings.STABLENEW_PREVIEW_DIR) / f"{node.name}.webp"


def forget_preview(node: Node) -> None:
    """What was being made is nobody's business once the run has ended."""
    with suppress(OSError):
        preview_path(node).unlink(missing_ok=True)


def current_preview(node_id: int) -> tuple[int, bytes] | None:
    """Number and WebP of the preview of the job that runs on this node now; None if there is none."""
    runner = Runner.objects.select_related("node").filter(node_id=node_id).first()
    told = (runner.progress if runner else None) or {}
    number, job_id = told.get("preview"), told.get("job_id")
    if runner is None or not isinstance(number, int) or not isinstance(job_id, int):
        return None
    if not Job.objects.filter(pk=job_id, status=JobStatus.RUNNING, node_id=node_id).exists():
        return None
    try:
        return number, preview_path(runner.node).read_bytes()
    except OSError:
        return None


@dataclass(slots=True)
class PreviewWatch:
    """Follows one run. `look` returns at once; the WebUI is asked in a thread, which touches no database.

    `is_ours(task id)` says whether what the WebUI makes now is that request.
    """

    node: Node
    server: Server
    is_ours: Callable[[str], bool]
    clock: Callable[[], float] = time.time
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _closed: bool = False
    _task_id: str = ""
    _seen: tuple[object, ...] = ()
    _shown: int = 0
    _number: int | None = None

    def look(self, task_id: str, progress: Progress | None) -> int | None:
        """Number of the request's newest preview (it only grows), None before its first.

        Asks the WebUI for its picture where `progress` tells of another step than last time.
        """
        with self._lock:
            if task_id != self._task_id:
                self._task_id, self._seen, self._shown, self._number = task_id, (), 0, None
            number = self._number
        if not settings.STABLENEW_PREVIEWS or progress is None or progress.idle:
            return number
        seen = (task_id, *progress.fingerprint)
        busy = self._thread is not None and self._thread.is_alive()
        if progress.step > 0 and seen != self._seen and not busy:
            self._seen = seen
            try:
                self._thread = start_thread(partial(self._fetch, task_id), f"preview-{self.node.name}")
            except OSError as exc:
                logger.debug("No preview of %s: %s", task_id, exc)
        return number

    def close(self) -> None:
        """The run has ended: its preview goes, and none comes after it."""
        with self._lock:
            self._closed = True
            forget_preview(self.node)

    def _fetch(self, task_id: str) -> None:
        try:
            if not self.is_ours(task_id):
                return
            image = self.server.preview()
            if not image or len(image) > MOST_BYTES or hash(image) == self._shown:
                return
            self._shown = hash(image)
            self._keep(task_id, small_webp(image, edge_px=EDGE_PX, most_pixels=MOST_PIXELS, quality=70))
        except (WebUIError, UnreadablePictureError, ValueError, OSError, MemoryError) as exc:
            logger.debug("No preview of %s: %s", task_id, exc)

    def _keep(self, task_id: str, content: bytes) -> None:
        with self._lock:
            if self._closed or task_id != self._task_id:
                return
            write_file(preview_path(self.node), content, durable=False)
            # Of the clock, so that also the next run's first is greater; one address never means two pictures.
            self._number = max((self._number or 0) + 1, round(self.clock() * 1000))
