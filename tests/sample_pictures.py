"""Small pictures for tests that need some as files or bytes."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image


def picture(shade: int = 0, size: tuple[int, int] = (96, 64), kind: str = "PNG", **options: Any) -> bytes:
    """A picture of one colour: another `shade` (0-255) makes other bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, 128)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)


def png_of(packed: bytes, size: tuple[int, int]) -> bytes:
    """A PNG that is whole but for this data stream."""
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
