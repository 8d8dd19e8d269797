"""Thumbnails of results, those of films from their posters: made when first asked for, kept in the data folder, made
again when they are gone.

They are named by the picture's hash, so equal pictures share one and a new database finds no wrong ones.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from jobs.errors import NoThumbnailError, UnreadablePictureError
from jobs.models import OutputImage
from jobs.running.outputs import file_of
from jobs.running.small_pictures import small_webp
from webui.whole_file import write_file

logger = logging.getLogger(__name__)

EDGE_PX = 256
#: What a large upscale makes; decoded, this is 300 MB for a moment.
MOST_PIXELS = 12_288 * 8_192
#: The oldest go when a folder has more; there are 256 folders, which hashes fill evenly.
MOST_PER_FOLDER = 128

#: One at a time in a process: a list may ask for fifty at once, and two must not write the same draft.
_making = threading.Lock()


def thumbnail(output: OutputImage) -> bytes:
    """WebP of at most 256 x 256 pixels. Raises `NoThumbnailError` if the picture is gone or unreadable."""

    def source() -> Path:
        file = file_of(output.still_path)
        if file is None or not file.is_file():
            raise NoThumbnailError(
                f"The picture file of job {output.job_id} is gone: it was moved or deleted on disk."
            )
        return file

    return _thumbnail(thumbnail_path(output), f"The picture file of job {output.job_id}", source)


def thumbnail_of_input(sha256: str, source: Callable[[], bytes]) -> bytes:
    """The same of an input picture, turned as its EXIF data say. What `source` raises is not caught."""
    return _thumbnail(_path_of(f"input-{sha256}", sha256), f"The input picture {sha256[:12]}", source)


def _thumbnail(path: Path, name: str, source: Callable[[], Path | bytes]) -> bytes:
    content = _kept(path)
    if content is not None:
        return content
    with _making:
        content = _kept(path)
        if content is None:
            content = _made(name, source())
            _keep(path, content)
    return content


def thumbnail_path(output: OutputImage) -> Path:
    """Where the thumbnail of this picture is kept, made or not."""
    if not re.fullmatch("[0-9a-f]{64}", output.sha256):
        raise NoThumbnailError(f"The hash of the picture of job {output.job_id} is none.")
    return _path_of(output.sha256, output.sha256)


def _path_of(name: str, sha256: str) -> Path:
    return Path(settings.STABLENEW_THUMBNAIL_DIR) / sha256[:2] / f"{name}.webp"


def _kept(path: Path) -> bytes | None:
    try:
        # An empty one is what a power cut may leave.
        return path.read_bytes() or None
    except OSError:
        return None


def _made(name: str, source: Path | bytes) -> bytes:
    turned = isinstance(source, bytes)
    try:
        return small_webp(source, edge_px=EDGE_PX, most_pixels=MOST_PIXELS, turned=turned)
    except UnreadablePictureError as exc:
        raise NoThumbnailError(f"{name} cannot be read as a picture: {exc}.") from exc


def _keep(path: Path, content: bytes) -> None:
    """A full disk costs time, not the page."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content, durable=False)
        _drop_oldest(path.parent)
    except OSError as exc:
        logger.warning("A thumbnail was not kept: %s", exc)


def _drop_oldest(folder: Path) -> None:
    kept = list(folder.glob("*.webp"))
    if len(kept) <= MOST_PER_FOLDER:
        return
    kept.sort(key=lambda file: file.stat().st_mtime)
    for file in kept[:-MOST_PER_FOLDER]:
        with suppress(FileNotFoundError):
            file.unlink()
