"""How large the pictures and films of a record become, before any is made."""

from __future__ import annotations

from jobs.records.reading import AnyRecord
from webui.work.parameters import (
    EditParameters,
    I2VParameters,
    Img2ImgParameters,
    Parameters,
    Txt2ImgParameters,
    UpscaleByImg2ImgParameters,
    UpscaleParameters,
)

BYTES_PER_PIXEL = 3
"""Eight bits of three colours, as if nothing could be compressed: a picture of noise comes near it."""
BYTES_PER_FILM_PIXEL = 1
"""Of each frame: a film of noise comes near it; one of a scene has a tenth of it and less."""


def expected_bytes(record: AnyRecord) -> int:
    """No less than the files of all stages of this job need on the disk: pictures as PNG, a film with its poster."""
    width, height, pixels = float(record.width), float(record.height), 0.0
    for stage in record.enabled_stages:
        if isinstance(stage.parameters, I2VParameters):
            return _film_bytes(stage.parameters)
        if stage.parameters is not None:
            width, height = _size_after(stage.parameters, width, height)
        pixels += width * height
    return round(pixels) * BYTES_PER_PIXEL * record.images_per_prompt


def _film_bytes(film: I2VParameters) -> int:
    return film.width * film.height * (film.num_frames * BYTES_PER_FILM_PIXEL + BYTES_PER_PIXEL)


def _size_after(parameters: Parameters, width: float, height: float) -> tuple[float, float]:
    """The size in which pictures leave a stage that they enter in this one."""
    match parameters:
        case Txt2ImgParameters(enable_hr=True, hr_resize_x=x, hr_resize_y=y) if x or y:
            return x or width * y / height, y or height * x / width
        case Txt2ImgParameters(enable_hr=True, hr_scale=factor):
            return width * factor, height * factor
        case Img2ImgParameters(width=w, height=h):
            return w or width, h or height
        case UpscaleParameters(upscaling_resize=factor) | UpscaleByImg2ImgParameters(upscaling_resize=factor):
            return width * factor, height * factor
        case EditParameters(width=w, height=h):
            return w, h
    return width, height
