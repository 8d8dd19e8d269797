"""What a file is that somebody gives as an input picture: its facts, or the sentence that refuses it. Pure.

The header is judged before anything is decoded, so that a small file of a huge picture costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor
from typing import Final

from PIL import ExifTags, Image

from jobs.errors import InputRefusedError
from webui.work import jpeg_data
from webui.work.limits import MAX_INPUT_BASE64_BYTES, MAX_INPUT_BYTES, MAX_INPUT_PIXELS
from webui.work.pictures import BROKEN, FORMATS, Header, NoPictureError, open_picture, read_header
from webui.work.png_data import read_png

SAVE_AS: Final = "Save it as PNG or JPEG"
ANEW: Final = "Get the file again, or save it anew."
MOST_BYTES_WORDS: Final = (
    f"{MAX_INPUT_BYTES:,} bytes ({MAX_INPUT_BASE64_BYTES // 1024**2} MB as base64). "
    "Save it smaller, as a JPEG for instance."
)
_TURNED: Final = frozenset({5, 6, 7, 8})
"""Orientations of EXIF that lie on their side."""
_OWN_KINDS: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WEBP"),
    (4, b"ftypavi", "AVIF"),
)
_OTHER_KINDS: Final = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"%PDF", "a PDF"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftyp", "a film"),
    (0, b"\x1aE\xdf\xa3", "a film"),
)
"""What people take for a picture that is read. Both tables: offset, the bytes there, what it is."""


@dataclass(frozen=True, slots=True)
class InputFacts:
    """`format` as Pillow calls it, by content. Width and height are those that a person sees: turned as EXIF says."""

    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    format: str

    def is_of(self, content: bytes) -> bool:
        """Whether they are the facts of these bytes."""
        return hashlib.sha256(content).hexdigest() == self.sha256


def read_input(content: bytes, name: str) -> InputFacts:
    """The facts of a picture that was decoded once, to its end. `name` stands in the refusal.

    Raises `InputRefusedError`. What decoding costs is bounded by `MAX_INPUT_PIXELS`.
    """
    refuse_size(len(content), name)
    header = _header(content, name)
    _refuse_pixels(header, name)
    turned = _decode(content, header, name)
    width_px, height_px = header.width_px, header.height_px
    if turned:
        width_px, height_px = height_px, width_px
    digest = hashlib.sha256(content).hexdigest()
    return InputFacts(digest, len(content), width_px, height_px, header.format)


def read_made(content: bytes, name: str, *, sha256: str) -> InputFacts:
    """The same of a picture that a job made, which was seen whole then and has this hash, as was proved.

    Of a PNG, which most are, only the data stream is held to its header: decoding a thousand takes a minute.
    """
    refuse_size(len(content), name)
    header = _header(content, name)
    data = read_png(content) if header.format == "PNG" else None
    if data is None:
        return read_input(content, name)
    _refuse_pixels(header, name)
    _refuse_early_end(header, data.share_present(), name)
    return InputFacts(sha256, len(content), header.width_px, header.height_px, header.format)


def refuse_size(size_bytes: int, name: str) -> None:
    """Judges a file by its size alone, before it is read. Raises `InputRefusedError`."""
    if size_bytes == 0:
        raise InputRefusedError(f"{name} is empty (0 bytes). Choose another file.")
    if size_bytes > MAX_INPUT_BYTES:
        raise InputRefusedError(
            f"{name} has {size_bytes:,} bytes; an input picture may have at most {MOST_BYTES_WORDS}"
        )


def join_bounded(pieces: Iterable[bytes], name: str) -> bytes:
    """A file that streams in, refused as soon as it is too large. Raises `InputRefusedError`."""
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > MAX_INPUT_BYTES:
            raise too_large(name)
    return bytes(content)


def too_large(name: str) -> InputRefusedError:
    """The refusal of a file that was not read to its end."""
    return InputRefusedError(f"{name} has more than {MOST_BYTES_WORDS}")


def _header(content: bytes, name: str) -> Header:
    try:
        return read_header(content)
    except NoPictureError as exc:
        if kind := _by_signature(content, _OWN_KINDS):
            raise _broken(kind, name, exc) from None
        what = _by_signature(content, _OTHER_KINDS)
        known = ", ".join(FORMATS)
        words = (
            f"{name} is {what}, and only {known} are read." if what else f"{name} is no picture ({known})."
        )
        raise InputRefusedError(f"{words} {SAVE_AS}, or choose another file.") from None


def _refuse_pixels(header: Header, name: str) -> None:
    if header.width_px * header.height_px > MAX_INPUT_PIXELS:
        raise InputRefusedError(
            f"{name} is {header.width_px:,} x {header.height_px:,} pixels; an input picture may have at most "
            f"{MAX_INPUT_PIXELS:,} pixels in all. Make it smaller."
        )


def _refuse_early_end(header: Header, share: float, name: str) -> None:
    """`share` of its pixel data is there."""
    if share < 1:
        raise InputRefusedError(
            f"{name} is a {header.format} whose pixel data ends after {floor(share * 100)} % of the picture. {ANEW}"
        )


def _by_signature(content: bytes, kinds: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((what for at, magic, what in kinds if content.startswith(magic, at)), "")


def _broken(kind: str, name: str, error: Exception) -> InputRefusedError:
    why = f" ({error})" if str(error) else ""
    return InputRefusedError(
        f"{name} is {'an' if kind == 'AVIF' else 'a'} {kind} that is cut off or broken{why}. {ANEW}"
    )


def _decode(content: bytes, header: Header, name: str) -> bool:
    """Proves that it is one whole picture; whether EXIF turns it on its side."""
    share = 1.0
    try:
        with open_picture(content) as picture:
            _refuse_animation(picture, header, name)
            if header.format == "JPEG":
                share = jpeg_data.share_present(content)
            else:
                picture.load()
            turned = _is_turned(picture)
        if header.format == "PNG" and (data := read_png(content)) is not None:
            share = data.share_present()
        read_header(content, whole=True)
    except MemoryError:
        raise InputRefusedError(
            f"This machine has not enough free memory to look at {name}. Make it smaller, or try later."
        ) from None
    except (*BROKEN, NoPictureError) as exc:
        raise _broken(header.format, name, exc) from None
    _refuse_early_end(header, share, name)
    return turned


def _refuse_animation(picture: Image.Image, header: Header, name: str) -> None:
    """A JPEG with further pictures behind its first is what cameras write: the first one counts."""
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and header.format != "JPEG":
        raise InputRefusedError(
            f"{name} is an animation of {frames:,} pictures. Save one of them as a PNG or JPEG of its own."
        )


def _is_turned(picture: Image.Image) -> bool:
    """After decoding: a PNG may have its EXIF behind its pixels. One that cannot be read turns nothing."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
    except BROKEN:
        return False
