"""Text chunks of a PNG: where servers write how they made it. Nothing is decoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
"""An unpacked text chunk larger than this is left alone."""


def png_text(image: bytes, keyword: bytes) -> str | None:
    """The first text with this keyword, to the last character; None of what is no PNG, or has none."""
    if not image.startswith(PNG_SIGNATURE):
        return None
    return next((text for name, text in _png_texts(image) if name == keyword), None)


def _png_texts(image: bytes) -> Iterator[tuple[bytes, str]]:
    at = len(PNG_SIGNATURE)
    while at + 8 <= len(image):
        size_bytes = int.from_bytes(image[at : at + 4], "big")
        kind = image[at + 4 : at + 8]
        data = image[at + 8 : at + 8 + size_bytes]
        at += size_bytes + 12
        if len(data) < size_bytes or kind == b"IEND":
            return
        keyword, separator, rest = data.partition(b"\0")
        if separator and (text := _chunk_text(kind, rest)) is not None:
            yield keyword, text


def _chunk_text(kind: bytes, rest: bytes) -> str | None:
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        unpacked = _unpack(rest[1:])
        return None if unpacked is None else unpacked.decode("latin-1")
    if kind == b"iTXt" and len(rest) >= 2:
        packed = rest[0] == 1
        language_and_translation = rest[2:].split(b"\0", 2)
        if len(language_and_translation) < 3:
            return None
        data = language_and_translation[2]
        unpacked = _unpack(data) if packed else data
        return None if unpacked is None else unpacked.decode("utf-8", errors="replace")
    return None


def _unpack(data: bytes) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, MAX_TEXT_BYTES)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail else unpacked
