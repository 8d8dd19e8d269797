"""The JSON of an answer, read so that nothing in it can surprise who uses it."""

from __future__ import annotations

import json
import math
from typing import Final

from webui.words import writable

MOST_LEVELS: Final = 100
"""No server nests its answers nearly as deep."""


def read_json(text: bytes | str) -> object:
    """Characters that cannot be kept are replaced, and numbers that are none (NaN, infinite) are None.

    Raises ValueError, also for what is nested too deep.
    """
    try:
        value = json.loads(text, parse_constant=_nothing, parse_float=_finite)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    return _kept(value, MOST_LEVELS)


def _nothing(name: str) -> None:
    return None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _kept(value: object, levels: int) -> object:
    """Changed in place where something must be; most answers come out as they are."""
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, (dict, list)):
        return value
    if not levels:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        value[:] = [_kept(item, levels - 1) for item in value]
        return value
    return {_text(key): _kept(item, levels - 1) for key, item in value.items()}


def _text(text: str) -> str:
    """Two quick looks first: a picture's base64 may be hundreds of megabytes."""
    return text if "\0" not in text and text.isascii() else writable(text)
