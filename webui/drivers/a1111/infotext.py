"""The `parameters` text that a WebUI writes into its pictures, read as it stands. Parsing it is `webui.work.infotext`.

What was truly used is in the answer's info; this is for pictures on disk.
"""

import zlib
from collections.abc import Iterator

from PIL import ExifTags

from webui.words import writable
from webui.work.infotext import Infotext as Infotext
from webui.work.infotext import parse_infotext as parse_infotext
from webui.work.pictures import BROKEN, open_picture
from webui.work.told import PictureFacts

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 4 * 1024 * 1024
"""An unpacked text chunk larger than this is left alone."""

SEED_DIGITS = 20
MOST_SEED = 2**63


def picture_facts(content: bytes) -> PictureFacts:
    """What a picture says of itself."""
    return facts_of(read_infotext(content) or "")


def facts_of(infotext: str, seed: int | None = None) -> PictureFacts:
    """`seed` if the infotext has none. One that no WebUI can have used is not known."""
    told = parse_infotext(infotext).fields.get("Seed", "")
    if told.isdecimal() and len(told) < SEED_DIGITS:
        seed = int(told)
    return PictureFacts(writable(infotext), seed if seed is not None and 0 <= seed < MOST_SEED else None)


def read_infotext(image: bytes) -> str | None:
    """The text as the WebUI wrote it, to the last character; None if the picture has none.

    PNG: the text chunk `parameters`. JPEG and WebP: the EXIF user comment. Damaged pictures have none.
    """
    if image.startswith(PNG_SIGNATURE):
        return next((text for keyword, text in _png_texts(image) if keyword == b"parameters"), None)
    return _user_comment(image)


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


def _user_comment(image: bytes) -> str | None:
    try:
        with open_picture(image) as opened:
            comment = opened.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    except BROKEN:
        return None
    if not isinstance(comment, bytes):
        return comment if isinstance(comment, str) else None
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        return text.decode("utf-16-be", errors="replace")
    return (text if code in (b"ASCII\0\0\0", bytes(8)) else comment).decode("utf-8", errors="replace")
