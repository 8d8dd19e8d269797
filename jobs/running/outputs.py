"""Results on disk: where a job's files go, and how one is written so that it is there whole or not at all.

A file is a result only through its `OutputImage` row, which the run writes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from jobs.errors import UnusablePictureError
from jobs.films import FilmFacts, is_film
from jobs.models import Job, OutputImage, TruthCheck
from jobs.queue.storage import make_folder
from jobs.queue.storage import output_root as output_root
from jobs.queue.storage import run_directory as run_directory
from jobs.truth.checks import load_checks
from webui.whole_file import sync_directory, write_file
from webui.work.pictures import NoPictureError, read_header

#: File endings by Pillow's format name; a WebUI sends what its samples_format says.
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif"}


FILM_SUFFIX = ".mp4"
#: Of a film's first frame, after the name of the film.
POSTER_ENDING = "-poster.jpg"

#: Before the names of files that are no results; results begin with the number of their stage.
PARTIAL = "partial-"
RESULT_NAMES = "[0-9]*-*-run[0-9]*.*"

logger = logging.getLogger(__name__)

_DOCUMENT = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """A picture or a film that is safely on disk; paths are relative to the output folder.

    The size of a film is 0 until it was decoded, which gives it its poster (`with_poster`).
    """

    path: str
    sha256: str
    size_bytes: int
    width_px: int = 0
    height_px: int = 0
    poster_path: str = ""


def write_picture(directory: Path, stem: str, content: bytes, *, what: str) -> WrittenResult:
    """Write the bytes exactly as received (infotext included), under the name of a partial picture.

    `what` is how a sentence names it.

    `give_result_name` follows when it is proved to be what was asked for. Raises `UnusablePictureError`, OSError.
    """
    try:
        header = read_header(content, whole=True)
    except NoPictureError as exc:
        raise UnusablePictureError(f"{what} does not open ({exc})") from exc
    written = _written(directory / f"{PARTIAL}{stem}{SUFFIXES[header.format]}", content)
    return replace(written, width_px=header.width_px, height_px=header.height_px)


def write_film(directory: Path, stem: str, content: bytes, *, what: str) -> WrittenResult:
    """As `write_picture`; that it is whole is proved by who decodes it. Raises `UnusablePictureError`, OSError."""
    if not is_film(content):
        raise UnusablePictureError(f"{what} is something else than a film")
    return _written(directory / f"{PARTIAL}{stem}{FILM_SUFFIX}", content)


def _written(path: Path, content: bytes) -> WrittenResult:
    make_folder(path.parent)
    write_file(path, content)
    return WrittenResult(
        path=str(path.relative_to(output_root())),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


def with_poster(written: WrittenResult, film: FilmFacts) -> WrittenResult:
    """The film with its size, and its poster written beside it. Raises OSError."""
    path = output_root() / written.path
    poster = path.with_name(path.stem + POSTER_ENDING)
    write_file(poster, film.poster)
    return replace(
        written,
        width_px=film.width_px,
        height_px=film.height_px,
        poster_path=str(poster.relative_to(output_root())),
    )


def give_result_names(results: Sequence[WrittenResult]) -> list[WrittenResult]:
    """The same files under the names of results: they are about to be accepted. Raises OSError."""
    named = [
        replace(
            result,
            path=_result_name(result.path),
            poster_path=_result_name(result.poster_path) if result.poster_path else "",
        )
        for result in results
    ]
    if named:
        sync_directory((output_root() / named[0].path).parent)
    return named


def _result_name(written: str) -> str:
    path = output_root() / written
    result = path.with_name(path.name.removeprefix(PARTIAL))
    path.replace(result)
    return str(result.relative_to(output_root()))


def set_aside_unaccepted(job: Job) -> None:
    """What a run that is over gave a result's name and nobody accepted gets that of a partial picture again."""
    rows = OutputImage.objects.filter(job=job).values_list("path", "poster_path")
    accepted = {Path(path).name for paths in rows for path in paths}
    try:
        for file in run_directory(job).glob(RESULT_NAMES):
            if file.name not in accepted:
                file.replace(file.with_name(PARTIAL + file.name))
    except OSError as exc:
        logger.warning("Files of job %s that nobody accepted keep their names: %s", job.pk, exc)


def file_of(path: str) -> Path | None:
    """The file that a row names (relative to the output folder); None if it would lie outside of that folder."""
    root = output_root().resolve()
    file = (root / path).resolve()
    return file if file.is_relative_to(root) else None


def read_kept(output: OutputImage) -> bytes | None:
    """The bytes of an accepted result, or None if the file is missing or no longer the one that was written.

    Raises OSError where the disk does not say: of a folder that is gone, no picture is missing for good.
    """
    try:
        content = (output_root() / output.path).read_bytes()
    except FileNotFoundError:
        if not output_root().is_dir():
            raise
        return None
    return content if hashlib.sha256(content).hexdigest() == output.sha256 else None


def _truth_of(output: OutputImage) -> dict[str, Any] | None:
    """What was found of it; None where it was not judged."""
    check: TruthCheck | None = output.truth_check
    if check is None:
        return None
    return {"verdict": str(check.verdict), "rules": check.rules, "fields": check.fields}


def film_facts(output: OutputImage) -> dict[str, Any]:
    """What documents say of a film beside what they say of every result; nothing for a picture."""
    if not output.is_film:
        return {}
    return {
        "frames": output.frames,
        "fps": output.fps,
        "duration_s": output.duration_s,
        "poster": Path(output.poster_path).name,
    }


def write_manifest(job: Job) -> Path:
    """`manifest.json` beside the results, made from the rows: what was asked for and what came of it."""
    load_checks(job.results)
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
            "truth": _truth_of(output),
            **film_facts(output),
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
    make_folder(path.parent)
    # Not synced to the disk: it can be made from the rows again.
    write_file(path, _DOCUMENT.dump_json(manifest, indent=2), durable=False)
    return path
