"""Results as files: written beside, counted, renamed; each says how it was made."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from webui.drivers.diffsynth.worker.jobs import JobResult

PNG_KEYWORD: Final = "stablenew"
_ENCODING: Final = ("-crf", "17", "-preset", "medium", "-movflags", "+faststart")
"""Visually lossless, and the index before the data, so that a browser plays before it has all."""


class UnsavedResultError(Exception):
    """The file that was written is not what was drawn"""


def save_film(
    folder: Path, frames: Sequence[Image.Image], fps: int, *, used: Mapping[str, Any], told: Mapping[str, Any]
) -> JobResult:
    """H.264 in MP4. `told` stands in its comment. Raises UnsavedResultError, OSError."""
    import imageio_ffmpeg  # comes with the worker's environment only

    with _draft(folder, ".mp4") as (draft, path):
        _encode(draft, frames, fps, told)
        count, _ = imageio_ffmpeg.count_frames_and_secs(str(draft))
        if count != len(frames):
            raise UnsavedResultError(f"The film was written with {count} of {len(frames)} frames.")
        return _finished(draft, path, "video/mp4", frames[0].size, frames=count, fps=fps, used=used)


def _encode(draft: Path, frames: Sequence[Image.Image], fps: int, told: Mapping[str, Any]) -> None:
    import imageio_ffmpeg

    comment = f"comment={json.dumps(told, sort_keys=True)}"
    writer = imageio_ffmpeg.write_frames(
        str(draft),
        frames[0].size,
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        quality=None,
        macro_block_size=None,
        output_params=[*_ENCODING, "-metadata", comment],
        ffmpeg_log_level="error",
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(frame.convert("RGB").tobytes())
    finally:
        writer.close()


def save_picture(
    folder: Path, picture: Image.Image, *, used: Mapping[str, Any], told: Mapping[str, Any]
) -> JobResult:
    """PNG. `told` stands in its text chunk `stablenew`. Raises UnsavedResultError, OSError."""
    info = PngInfo()
    info.add_text(PNG_KEYWORD, json.dumps(told, sort_keys=True))
    with _draft(folder, ".png") as (draft, path):
        picture.save(draft, format="PNG", pnginfo=info)
        with Image.open(draft) as written:
            written.verify()
            size = written.size
        if size != picture.size:
            raise UnsavedResultError(f"The picture was written with the size {size}, not {picture.size}.")
        return _finished(draft, path, "image/png", size, frames=0, fps=0, used=used)


@contextmanager
def _draft(folder: Path, suffix: str) -> Iterator[tuple[Path, Path]]:
    """A name to write to and the name that it gets; nothing is left of a draft that was not finished."""
    name = uuid.uuid4().hex
    draft = folder / f"{name}.part{suffix}"
    try:
        yield draft, folder / f"{name}{suffix}"
    finally:
        draft.unlink(missing_ok=True)


def _finished(
    draft: Path,
    path: Path,
    media_type: str,
    size_px: tuple[int, int],
    *,
    frames: int,
    fps: int,
    used: Mapping[str, Any],
) -> JobResult:
    with draft.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = os.fstat(file.fileno()).st_size
    draft.replace(path)
    return JobResult(path, media_type, size_bytes, sha256, *size_px, frames, fps, used)
