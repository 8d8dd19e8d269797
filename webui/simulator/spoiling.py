"""Answers that look right and are not: pictures cut, blackened, swapped, stale or missing in a finished answer.

Each picture is base64; its format, size and texts stay unless it is said otherwise.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

from webui.simulator.composing import grid
from webui.simulator.pictures import FileFormat, decoded, encoded, text_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"


# --- pictures of an answer --------------------------------------------------------------------------------


def pictures_of(document: dict[str, Any]) -> list[str]:
    if "images" in document:
        return list(document["images"])
    return [document["image"]] if document.get("image") else []


def put(document: dict[str, Any], pictures: list[str]) -> None:
    """An answer without pictures stays as it is."""
    if "images" in document:
        document["images"] = pictures
    elif pictures:
        document["image"] = pictures[0]


def change_first(document: dict[str, Any], change: Callable[[str], str]) -> None:
    """`change` gets and gives base64."""
    first, *rest = pictures_of(document) or [""]
    if first:
        put(document, [change(first), *rest])


def change_all(document: dict[str, Any], change: Callable[[str], str]) -> None:
    put(document, [change(picture) for picture in pictures_of(document)])


def count(document: dict[str, Any]) -> int:
    """How many pictures an answer holds."""
    return len(document["images"]) if "images" in document else int("image" in document)


# --- one picture ------------------------------------------------------------------------------------------


def cut(image: str) -> str:
    """Half of the text; its length alone makes it no base64."""
    return image[: len(image) // 2 // 4 * 4 + 1]


def torn(image: str) -> str:
    """Sound base64 of half a file."""
    data = base64.b64decode(image)
    return base64.b64encode(data[: len(data) // 2]).decode("ascii")


def half_drawn(image: str) -> str:
    """A PNG whose every checksum is right and whose pixel data end in the middle of the picture."""
    picture = decoded(image).convert("RGB")
    width, height = picture.size
    upper = picture.crop((0, 0, width, max(1, height // 2))).tobytes()
    rows = b"".join(b"\0" + upper[at : at + width * 3] for at in range(0, len(upper), width * 3))
    texts = [
        name.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
        for name, text in text_of(decoded(image)).items()
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), *((b"iTXt", text) for text in texts)]
    chunks += [(b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return base64.b64encode(SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks)).decode("ascii")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def black(image: str) -> str:
    return _filled(image, (0, 0, 0))


def flat(image: str) -> str:
    return _filled(image, (128, 96, 64))


def nearly_black(image: str) -> str:
    """No pixel brighter than 2 of 255."""
    return _redrawn(image, decoded(image).convert("RGB").point(lambda value: value % 3))


def grown(image: str) -> str:
    """Twice as wide and high."""
    picture = decoded(image)
    return _redrawn(image, picture.resize((picture.width * 2, picture.height * 2)))


def _filled(image: str, colour: tuple[int, int, int]) -> str:
    return _redrawn(image, Image.new("RGB", decoded(image).size, colour))


def _redrawn(image: str, picture: Image.Image) -> str:
    """Other pixels under the same texts, in the same format."""
    before = decoded(image)
    kind = FileFormat((before.format or "png").lower(), quality=95)
    return encoded(picture, text_of(before), kind)


# --- the pictures of an answer, against each other and against others ---------------------------------------


def drop_last(document: dict[str, Any]) -> None:
    """`info` goes on telling of it, as after an interrupt."""
    put(document, pictures_of(document)[:-1])


def reverse(document: dict[str, Any]) -> None:
    """The last picture first, each with its own texts; `info` tells the order that was asked for."""
    put(document, pictures_of(document)[::-1])


def reverse_pixels(document: dict[str, Any]) -> None:
    """The last picture first, with the texts of the place where it lies."""
    pictures = pictures_of(document)
    put(
        document, [_redrawn(one, decoded(other)) for one, other in zip(pictures, pictures[::-1], strict=True)]
    )


def repeat_first(document: dict[str, Any]) -> None:
    """The pixels of the first picture in all, each with its own texts."""
    pictures = pictures_of(document)
    put(document, [_redrawn(one, decoded(pictures[0])) for one in pictures])


def grid_first(document: dict[str, Any]) -> None:
    """A grid of all pictures in place of the first (of four times the same, where there is one only)."""
    pictures = [decoded(one) for one in pictures_of(document)]
    sheet = grid(pictures if len(pictures) > 1 else pictures * 4)
    change_first(document, lambda one: _redrawn(one, sheet))


def take_pixels(document: dict[str, Any], earlier: dict[str, Any]) -> None:
    """The pixels of an earlier answer under the texts of this one; without an earlier one it stays."""
    others = pictures_of(earlier)
    if others:
        pictures = pictures_of(document)
        put(document, [_redrawn(one, decoded(others[at % len(others)])) for at, one in enumerate(pictures)])


def take_all(document: dict[str, Any], earlier: dict[str, Any]) -> None:
    """The pictures of an earlier answer, with all that it said of them."""
    if pictures_of(earlier):
        put(document, pictures_of(earlier))
        document |= {
            name: earlier[name] for name in ("info", "html_info") if name in document and name in earlier
        }


def take_input(document: dict[str, Any], fields: dict[str, Any]) -> None:
    """The picture that came with the request, under the texts of the answer."""
    given = [*(fields.get("init_images") or ()), *filter(None, [fields.get("image")])]
    if given and isinstance(given[0], str):
        change_all(document, lambda one: _redrawn(one, decoded(given[0])))
