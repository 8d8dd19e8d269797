"""The bytes of an input picture as the models take it: upright, without transparency, in the shape of the result.

The models stretch a picture of another shape and fail on transparency, so both are settled before. Workers import this:
the standard library and Pillow alone.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Final, Literal

from PIL import Image, ImageOps, UnidentifiedImageError

from webui.work.limits import MAX_INPUT_PIXELS

INPUT_FORMATS: Final = ("PNG", "JPEG", "WEBP", "AVIF")
Fit = Literal["crop", "pad"]

_ANIMATED: Final = {"PNG", "WEBP", "AVIF"}
"""A JPEG with more pictures behind the first is none: cameras put a preview there."""
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    RuntimeError,  # broken AVIF
    struct.error,
    zlib.error,
)


class UnusableInputError(ValueError):
    """These bytes are no picture that a film or an edit can begin with; the message says why."""


def read_rgb(content: bytes) -> Image.Image:
    """The whole picture in RGB: turned as its EXIF says, transparency flattened on white.

    Its size is read before anything is decoded. Raises UnusableInputError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=INPUT_FORMATS)
        with picture:
            _check(picture)
            picture.load()
            return _flat(ImageOps.exif_transpose(picture))
    except UnusableInputError:
        raise
    except Image.DecompressionBombError as exc:
        raise UnusableInputError(_too_large("far too many")) from exc
    except UnidentifiedImageError as exc:
        raise UnusableInputError(
            f"It is none of {', '.join(INPUT_FORMATS)}, or broken at its beginning."
        ) from exc
    except _BROKEN as exc:
        raise UnusableInputError(f"It cannot be decoded: {str(exc) or type(exc).__name__}.") from exc


def fitted(picture: Image.Image, width_px: int, height_px: int, fit: Fit) -> Image.Image:
    """Exactly that size without stretching: the middle of it, or all of it between black bars."""
    target = (width_px, height_px)
    if picture.size == target:
        return picture
    if fit == "crop":
        return ImageOps.fit(picture, target, Image.Resampling.LANCZOS)
    scale = min(width_px / picture.width, height_px / picture.height)
    inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    canvas = Image.new("RGB", target, _BLACK)
    place = ((width_px - inner[0]) // 2, (height_px - inner[1]) // 2)
    canvas.paste(picture.resize(inner, Image.Resampling.LANCZOS), place)
    return canvas


def _check(picture: Image.Image) -> None:
    pixels = picture.width * picture.height
    if pixels > MAX_INPUT_PIXELS:
        raise UnusableInputError(_too_large(f"{pixels:,}"))
    if picture.format in _ANIMATED and getattr(picture, "is_animated", False):
        raise UnusableInputError("It is an animation. Use one of its pictures.")


def _too_large(pixels: str) -> str:
    return f"It has {pixels} pixels; {MAX_INPUT_PIXELS:,} are the most. Use a smaller picture."


def _flat(picture: Image.Image) -> Image.Image:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        # Pillow would clip 16 bits to white instead of scaling them.
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if picture.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        canvas = Image.new("RGB", layers.size, _WHITE)
        canvas.paste(layers, mask=layers.getchannel("A"))
        return canvas
    return picture.convert("RGB")
