"""Base64 pictures in and out, with the text chunks that the server writes into its PNG files."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from webui.simulator.answers import EscapedError, RefusedRequestError

MOST_PIXELS = 8192 * 8192
"""What the simulated memory holds: all pictures of a request together."""

TEXT_CHUNKS = ("parameters", "postprocessing")
PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
FAST = 1
"""zlib level: drawing is not what is simulated, so it should cost little."""


def decoded(value: object) -> Image.Image:
    """The picture of a base64 string or data URI. Raises RefusedRequestError or EscapedError as recorded."""
    if not isinstance(value, str):
        kind = type(value).__name__
        raise EscapedError("AttributeError", f"'{kind}' object has no attribute 'startswith'")
    if value.startswith(("http://", "https://")):
        raise RefusedRequestError(500, "Request to local resource not allowed")
    text = value.split(";", 1)[-1].split(",", 1)[-1] if value.startswith("data:image/") else value
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        image.load()
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise RefusedRequestError(500, "Invalid encoded image") from None
    return image if image.mode in PNG_MODES else image.convert("RGB")


@dataclass(frozen=True)
class FileFormat:
    """How the server's settings want pictures in its answers."""

    name: str = "png"
    quality: int = 80
    lossless: bool = False

    @classmethod
    def of(cls, options: dict[str, Any]) -> FileFormat:
        """Raises RefusedRequestError where the settings name a format that the API cannot send."""
        name = str(options.get("samples_format") or "png").lower()
        if name not in FORMATS:
            raise RefusedRequestError(500, "Invalid image format")
        return cls(name, int(options.get("jpeg_quality") or 80), bool(options.get("webp_lossless")))


PNG = FileFormat()
FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}
USER_COMMENT = b"UNICODE\0"


def text_of(image: Image.Image) -> dict[str, str]:
    """The texts that the server itself writes: chunks of a PNG, the user comment of a JPEG or WebP."""
    found = {name: value for name in TEXT_CHUNKS if isinstance(value := image.info.get(name), str)}
    if found or "exif" not in image.info:
        return found
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if not isinstance(comment, bytes) or not comment.startswith(USER_COMMENT):
        return {}
    return {"parameters": comment.removeprefix(USER_COMMENT).decode("utf-16-be", "replace")}


def encoded(image: Image.Image, text: dict[str, str], kind: FileFormat = PNG) -> str:
    """The file as base64, without the `data:` prefix; formats other than PNG keep the `parameters` only."""
    if FORMATS[kind.name] != "PNG":
        return _with_comment(image, text.get("parameters", ""), kind)
    chunks = PngImagePlugin.PngInfo()
    for name, value in text.items():
        chunks.add_text(name, value)
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=chunks, compress_level=FAST)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _with_comment(image: Image.Image, parameters: str, kind: FileFormat) -> str:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = USER_COMMENT + parameters.encode("utf-16-be")
    stream = io.BytesIO()
    quality = {"quality": kind.quality} | ({"lossless": kind.lossless} if kind.name == "webp" else {})
    image.convert("RGB").save(stream, FORMATS[kind.name], exif=exif.tobytes(), **quality)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def check_memory(width: int, height: int, count: int = 1) -> None:
    """Raises EscapedError where so many pictures cannot be held, in the allocator's own words."""
    if width * height * count > MOST_PIXELS:
        wanted = (width // 8) * (height // 8) * 16 * count
        raise EscapedError(
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
            f"you tried to allocate {wanted} bytes. Error code 12 (Cannot allocate memory)",
        )
