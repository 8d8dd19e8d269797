"""The results of films and edits: they decode, and they are what their rows and their records say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.fault.campaign.books import Books
from tests.fault.campaign.evidence import Row

FILM, EDIT = "i2v", "edit"
RATE_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What a file is; `frames` and `fps` are 0 for a picture."""

    width: int
    height: int
    frames: int = 0
    fps: float = 0.0


def results_are_what_their_rows_say(books: Books) -> Iterator[str]:
    """Each file decodes from its first frame to its last, and its row and the job's record tell the same of it."""
    for job_id, rows in books.outputs.items():
        job = books.jobs.get(job_id)
        kind = job.get("kind") if job is not None else ""
        if job is None or kind not in (FILM, EDIT):
            continue
        asked = _asked(books.record_of(job))
        for row in rows:
            yield from _row_disagrees(books.evidence.output_root, job_id, row, asked, is_film=kind == FILM)


def _row_disagrees(
    root: Path, job_id: int, row: Row, asked: dict[str, Any], *, is_film: bool
) -> Iterator[str]:
    place = f"Job {job_id}: {row['path']}"
    try:
        decoded = (_film if is_film else _picture)(root / row["path"])
    except Exception as exc:  # noqa: BLE001 - decoders raise whatever they meet
        yield f"{place} does not decode: {type(exc).__name__}: {exc}"
        return
    told = _Decoded(row["width_px"], row["height_px"], row["frames"] or 0, row["fps"] or 0.0)
    wanted = _Decoded(
        asked["width"], asked["height"], *((asked["num_frames"], asked["fps"]) if is_film else ())
    )
    for who, other in (("its row", told), ("its record", wanted)):
        if not _alike(decoded, other):
            yield f"{place} is {decoded}, {who} says {other}."
    if is_film:
        yield from _poster_disagrees(root, place, row, decoded)


def _poster_disagrees(root: Path, place: str, row: Row, film: _Decoded) -> Iterator[str]:
    path = root / row["poster_path"]
    if not row["poster_path"] or not path.is_file():
        yield f"{place} has no poster."
        return
    try:
        poster = _picture(path)
    except Exception as exc:  # noqa: BLE001 - as above
        yield f"{place}: its poster does not decode: {type(exc).__name__}: {exc}"
        return
    if (poster.width, poster.height) != (film.width, film.height):
        yield f"{place}: its poster is {poster.width} x {poster.height}, the film {film.width} x {film.height}."


def _alike(one: _Decoded, other: _Decoded) -> bool:
    sizes = (one.width, one.height, one.frames) == (other.width, other.height, other.frames)
    return sizes and abs(one.fps - other.fps) <= RATE_SLACK


def _asked(record: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = record["stage_chain"][0]["parameters"]
    return parameters


def _film(path: Path) -> _Decoded:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        return _Decoded(stream.width, stream.height, frames, float(stream.average_rate or 0))


def _picture(path: Path) -> _Decoded:
    with Image.open(path) as image:
        image.load()
        return _Decoded(*image.size)


def inputs_are_as_they_came(books: Books) -> Iterator[str]:
    """Every input picture lies under its hash, unchanged, and beside it nothing that has no row."""
    root = books.evidence.input_root
    if root is None:
        return
    known = {row["sha256"] for row in books.evidence.inputs if row["from_output_id"] is None}
    found = {path.name: path for path in root.rglob("*") if path.is_file()}
    for sha256 in sorted(known - found.keys()):
        yield f"The input picture {sha256} has a row and no file."
    for name, path in found.items():
        if name not in known:
            yield f"Among the input pictures lies {path.relative_to(root)}, which has no row."
        elif hashlib.sha256(path.read_bytes()).hexdigest() != name:
            yield f"The input picture {name} has been changed."


def nothing_half_done_is_left(books: Books) -> Iterator[str]:
    """No draft of a file in the folder of the results, and nothing in that for temporary files."""
    for path in books.evidence.output_root.rglob(".*"):
        yield f"A draft was left among the results: {path.relative_to(books.evidence.output_root)}"
    for name in books.evidence.temporary:
        yield f"A temporary file was left: {name}"
