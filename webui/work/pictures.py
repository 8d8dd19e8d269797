"""A picture as it came from a server: its format and size by its header alone, and whether its file is whole.

Nothing is decoded here, so that a small file of a huge picture costs nothing.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from webui.work.told import PictureFacts

FORMATS: Final = ("PNG", "JPEG", "WEBP", "AVIF")
"""What servers draw; the many other decoders are not for bytes from elsewhere."""

BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    MemoryError,
    RuntimeError,  # broken AVIF
    struct.error,
    zlib.error,
)
"""What a broken picture makes Pillow raise."""

# An upscaled picture is larger than Pillow expects of any. Who decodes asks for the size first.
Image.MAX_IMAGE_PIXELS = None

_SAME_FILE: Final = {"MPO": "JPEG"}
"""A JPEG with more pictures behind the first has a name of its own in Pillow."""
_PNG_END: Final = b"IEND\xaeB\x60\x82"
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
"""Of a JPEG: before each part of its data, and behind the last."""


class NoPictureError(ValueError):
    """These bytes are no whole picture of a format that servers draw"""


class Pictures(tuple[bytes, ...]):
    """The pictures of one answer in order; `told` is what the answer says of each, beside what they say themselves."""

    told: tuple[PictureFacts, ...]

    @classmethod
    def of(cls, contents: Iterable[bytes], told: Sequence[PictureFacts] = ()) -> Pictures:
        """What `told` does not reach to is not known."""
        pictures = cls(contents)
        pictures.told = tuple(told[: len(pictures)]) + (PictureFacts(),) * (len(pictures) - len(told))
        return pictures


@dataclass(frozen=True, slots=True)
class Header:
    """`format` as Pillow calls it: one of `FORMATS`."""

    format: str
    width_px: int
    height_px: int


def open_picture(source: Path | bytes) -> Image.Image:
    """Its header is read and nothing decoded. Raises one of `BROKEN`."""
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def read_header(content: bytes, *, whole: bool = False) -> Header:
    """Raises `NoPictureError`; with `whole` also where the file was cut off."""
    try:
        with open_picture(content) as picture:
            kind = picture.format or ""
            header = Header(_SAME_FILE.get(kind, kind), *picture.size)
            if whole:
                picture.verify()
    except UnidentifiedImageError as exc:
        raise NoPictureError(f"it is none of {', '.join(FORMATS)}, or broken at its beginning") from exc
    except BROKEN as exc:
        raise NoPictureError(str(exc) or type(exc).__name__) from exc
    if header.format not in FORMATS:
        raise NoPictureError(f"it is {kind}, none of {', '.join(FORMATS)}")
    if whole and not _has_its_end(header.format, content):
        raise NoPictureError("the file is cut off")
    return header


def _has_its_end(kind: str, content: bytes) -> bool:
    """Pillow does not look at the last bytes of a PNG; of a JPEG or a WebP it only finds out while it decodes."""
    if kind == "PNG":
        return content.rfind(_PNG_END) != -1
    if kind == "JPEG":
        return content.find(_END, content.rfind(_SCAN)) != -1
    if kind == "WEBP":
        return int.from_bytes(content[4:8], "little") + 8 <= len(content)
    return True
