"""The shape of a payload: what a request looked like, without anybody's text in it; texts are in `redaction`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.work.unit import Request, Vocabulary

JsonValue = Any

PLAIN_LIMIT = 160
"""Characters of a name that stays; nothing that the WebUI lists is longer, and it has one line."""

IMAGE_STARTS = ("data:image/", "iVBORw0KGgo", "/9j/", "UklGR", "R0lGOD")
"""Base64 of PNG, JPEG, WebP and GIF begins so."""
LEAST_PICTURE = 100
"""Characters; anything shorter in the place of a picture is somebody's text."""


def redact_payload(request: Request) -> dict[str, JsonValue]:
    """The payload as JSON without anybody's text.

    A string becomes its length and SHA-256, a picture the size and SHA-256 of its bytes, and a key that no
    request of ours has becomes its hash; numbers, booleans and listed names stay.
    """
    return _Walk(request.vocabulary).request(request.body)


def hidden_strings(request: Request) -> tuple[list[str], list[str]]:
    """What `redact_payload` hides: texts, and pictures in base64."""
    walk = _Walk(request.vocabulary)
    walk.request(request.body)
    return walk.texts, walk.pictures


@dataclass(slots=True)
class _Walk:
    """Decides for each string of a payload, and remembers those that it hid."""

    words: Vocabulary
    texts: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    def request(self, body: Mapping[str, Any]) -> dict[str, JsonValue]:
        shaped = {}
        for key, value in body.items():
            within = self.words.plain_within.get(key)
            if within is not None and isinstance(value, Mapping):
                shaped[key] = self._object(value, plain=within)
            else:
                shaped[self._key(key)] = self._value(key, value, plain=self.words.plain)
        return shaped

    def _object(self, value: Mapping[Any, Any], plain: frozenset[str]) -> dict[str, JsonValue]:
        return {self._key(key): self._value(key, one, plain) for key, one in value.items()}

    def _value(self, key: object, value: object, plain: frozenset[str]) -> JsonValue:
        """`plain` holds only at its own depth: further down the same key may be anybody's."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self._object(value, plain=frozenset())
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(key, one, plain=frozenset()) for one in value]
        if isinstance(value, bytes | bytearray):
            return _picture(bytes(value))
        text = value if isinstance(value, str) else str(value)
        if key in plain and len(text) <= PLAIN_LIMIT and text.isprintable():
            return text
        return self._hide(text, is_image=key in self.words.pictures)

    def _hide(self, text: str, *, is_image: bool) -> JsonValue:
        if text.startswith(IMAGE_STARTS) or (is_image and len(text) >= LEAST_PICTURE):
            try:
                picture = base64.b64decode(text.partition(";base64,")[2] or text, validate=True)
            except ValueError:
                pass
            else:
                self.pictures.append(text)
                return _picture(picture)
        self.texts.append(text)
        return {"length": len(text), "sha256": _sha256(text)}

    def _key(self, key: object) -> str:
        text = str(key)
        if text in self.words.keys:
            return text
        self.texts.append(text)
        return f"key of {len(text)} characters, sha256 {_sha256(text)}"


def _picture(picture: bytes) -> JsonValue:
    return {"size_bytes": len(picture), "sha256": hashlib.sha256(picture).hexdigest()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
