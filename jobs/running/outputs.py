"""Pictures on disk: where a job's files go, and how one is written so that it is there whole or not at all.

A file is a result only through its `OutputImage` row, which the run writes.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import TypeAdapter

from jobs.errors import UnusablePictureError
from jobs.models import Job, OutputImage
from jobs.queue.storage import make_folder
from jobs.queue.storage import output_root as output_root
from jobs.queue.storage import run_directory as run_directory
from webui.whole_file import write_file

#: File endings by Pillow's format name; a WebUI sends what its samples_format says.
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}


_DOCUMENT = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class WrittenPicture:
    """A picture that is safely on disk; `path` is relative to the output folder."""

    path: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int


def write_picture(directory: Path, stem: str, content: bytes) -> WrittenPicture:
    """Write the bytes exactly as received (infotext included); raises `UnusablePictureError`, OSError."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.verify()
            width_px, height_px = picture.size
            suffix = SUFFIXES.get(picture.format or "", ".img")
    except (OSError, SyntaxError, ValueError) as exc:
        raise UnusablePictureError(f"the WebUI's picture does not open ({exc})") from exc
    path = directory / f"{stem}{suffix}"
    make_folder(directory)
    write_file(path, content)
    return WrittenPicture(
        path=str(path.relative_to(output_root())),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        width_px=width_px,
        height_px=height_px,
    )


def file_of(path: str) -> Path | None:
    """The file that a row names (relative to the output folder); None if it would lie outside of that folder."""
    root = output_root().resolve()
    file = (root / path).resolve()
    return file if file.is_relative_to(root) else None


def read_kept(output: OutputImage) -> bytes | None:
    """The bytes of an accepted picture, or None if the file is missing or no longer the one that was written.

    Raises OSError where the disk does not say: of a folder that is gone, no picture is missing for good.
    """
    try:
        content = (output_root() / output.path).read_bytes()
    except FileNotFoundError:
        if not output_root().is_dir():
            raise
        return None
    return content if hashlib.sha256(content).hexdigest() == output.sha256 else None


def write_manifest(job: Job) -> Path:
    """`manifest.json` beside the pictures, made from the rows: what was asked for and what came of it."""
    outputs = [
        {
            "file": Path(output.path).name,
            "stage": output.stage,
            "image_index": output.image_index,
            "sha256": output.sha256,
            "width": output.width_px,
            "height": output.height_px,
            "seed": output.seed,
            "infotext": output.infotext,
        }
        for output in job.results
    ]
    manifest = {
        "job": job.pk,
        "status": job.status,
        "record_sha256": job.record.sha256,
        "record": json.loads(job.record.canonical_json),
        "submitted_at": job.submitted_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "retry_count": job.retry_count,
        "error": job.error,
        "outputs": outputs,
    }
    path = run_directory(job) / "manifest.json"
    # Not synced to the disk: it can be made from the rows again.
    write_file(path, _DOCUMENT.dump_json(manifest, indent=2), durable=False)
    return path
