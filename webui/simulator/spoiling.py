"""Answers that look right and are not: pictures cut, torn, blackened or missing in a finished answer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from PIL import Image

from webui.simulator.pictures import decoded, encoded, text_of


def change_first(document: dict[str, Any], change: Callable[[str], str]) -> None:
    """`change` gets and gives base64. An answer without pictures stays as it is."""
    if document.get("images"):
        document["images"][0] = change(document["images"][0])
    elif document.get("image"):
        document["image"] = change(document["image"])


def change_all(document: dict[str, Any], change: Callable[[str], str]) -> None:
    if document.get("images"):
        document["images"] = [change(image) for image in document["images"]]
    else:
        change_first(document, change)


def drop_last(document: dict[str, Any]) -> None:
    """`info` goes on telling of it, as after an interrupt."""
    if document.get("images"):
        document["images"].pop()


def cut(image: str) -> str:
    """Half of the text; its length alone makes it no base64."""
    return image[: len(image) // 2 // 4 * 4 + 1]


def torn(image: str) -> str:
    """Sound base64 of half a file."""
    data = base64.b64decode(image)
    return base64.b64encode(data[: len(data) // 2]).decode("ascii")


def black(image: str) -> str:
    """The same size and text, no light."""
    picture = decoded(image)
    return encoded(Image.new("RGB", picture.size), text_of(picture))


def grown(image: str) -> str:
    """Twice as wide and high, with the same text."""
    picture = decoded(image)
    return encoded(picture.resize((picture.width * 2, picture.height * 2)), text_of(picture))


def count(document: dict[str, Any]) -> int:
    """How many pictures an answer holds."""
    return len(document["images"]) if "images" in document else int("image" in document)
