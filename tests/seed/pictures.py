"""Pictures of a seeded database: rows that name no file, as for a million jobs, or small real files for a few."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL.PngImagePlugin import PngInfo

from jobs.records.reading import AnyRecord
from jobs.running.outputs import output_root, write_picture
from webui.simulator.drawing import landscape


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as `OutputImage` names it; sizes in pixels."""

    path: str
    sha256: str
    size_bytes: int
    width: int
    height: int


def only_named(directory: str, stem: str, infotext: str, size: tuple[int, int]) -> Picture:
    """A picture whose file is not there."""
    path = f"{directory}/{stem}.png"
    digest = hashlib.sha256(path.encode()).hexdigest()
    return Picture(path, digest, 400_000 + int(digest[:4], 16) * 10, *size)


def drawn(directory: str, stem: str, infotext: str, size: tuple[int, int]) -> Picture:
    """A real file of a quarter of the area; `directory` is relative to the output folder."""
    width, height = size
    image = landscape(infotext, infotext.partition("\n")[0], width // 2, height // 2)
    information = PngInfo()
    information.add_text("parameters", infotext)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=information, compress_level=1)
    target = output_root() / directory
    target.mkdir(parents=True, exist_ok=True)
    written = write_picture(target, stem, buffer.getvalue(), what="the picture")
    return Picture(written.path, written.sha256, written.size_bytes, written.width_px, written.height_px)


def infotext_of(record: AnyRecord, seed: int) -> str:
    """As a WebUI writes it into its pictures."""
    return (
        f"{record.positive_prompt}\nNegative prompt: {record.negative_prompt}\n"
        f"Steps: {record.steps}, Sampler: {record.sampler}, CFG scale: {record.cfg_scale:g}, Seed: {seed}, "
        f"Size: {record.width}x{record.height}, Model: {record.base_model}"
    )
