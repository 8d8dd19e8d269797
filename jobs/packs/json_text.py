"""JSON as people write it, with every key that stands twice. What it means is for `document`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from jobs.errors import DocumentError

_UNCLEAN_RE: Final = re.compile("[\\0\\ud800-\\udfff]")
MAX_DOUBLED: Final = 100
"""Doubled keys of one document that are named."""


@dataclass(frozen=True, slots=True)
class DoubledKey:
    """A key that stands several times in one object; the last of `values` counts."""

    path: str
    values: tuple[object, ...]


class _Doubled(dict[str, Any]):
    """An object with a doubled key: the last value of each key, and in `pairs` all of them."""

    pairs: list[tuple[str, Any]]


def parse_document(text: str) -> dict[str, Any]:
    """The JSON object of a document, {} for none. Raises DocumentError with line and column."""
    if not text.strip("\ufeff \t\r\n"):
        return {}
    try:
        data = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise DocumentError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None
    except ValueError as error:
        raise DocumentError(str(error)) from None
    if not isinstance(data, dict):
        raise DocumentError("line 1, column 1: an object { ... } is expected")
    return data


def doubled_keys(data: object) -> tuple[DoubledKey, ...]:
    """Every doubled key of a parsed document with its path, in order, those within a value that does not count too."""
    found: list[DoubledKey] = []
    stack: list[tuple[str, object]] = [("", data)]
    while stack:
        path, value = stack.pop()
        inner: list[tuple[str, object]] = []
        if isinstance(value, dict):
            pairs = value.pairs if isinstance(value, _Doubled) else list(value.items())
            inner = [(f"{path}.{key}".removeprefix("."), item) for key, item in pairs]
            if isinstance(value, _Doubled):
                found += _doubled_of(inner)
        elif isinstance(value, list):
            inner = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        stack += reversed([pair for pair in inner if isinstance(pair[1], dict | list)])
    return tuple(found)


def dump_document(data: object) -> str:
    """JSON that parses to the same again, its doubled keys too; keys are sorted."""
    if isinstance(data, dict):
        pairs = data.pairs if isinstance(data, _Doubled) else data.items()
        inner = (
            f"{json.dumps(key, ensure_ascii=False)}: {dump_document(value)}" for key, value in _sorted(pairs)
        )
        return "{" + ", ".join(inner) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(map(dump_document, data)) + "]"
    return json.dumps(data, ensure_ascii=False)


def _sorted(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return sorted(pairs, key=lambda pair: pair[0])


def unclean_path(data: object) -> str:
    """The path of the first text with a NUL or half a surrogate pair in it; "" if there is none."""
    stack: list[tuple[str, object]] = [("", data)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{path}.{key}".strip("."), item) for key, item in value.items()]
            stack += [(f"{path} key", key) for key in value]
        elif isinstance(value, list):
            stack += [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        elif isinstance(value, str) and _UNCLEAN_RE.search(value):
            return path.encode("utf-8", "replace").decode().replace("\0", "?") or "root"
    return ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) == len(pairs):
        return data
    doubled = _Doubled(data)
    doubled.pairs = pairs
    return doubled


def _doubled_of(pairs: list[tuple[str, object]]) -> list[DoubledKey]:
    values: dict[str, list[object]] = {}
    for path, value in pairs:
        values.setdefault(path, []).append(value)
    return [DoubledKey(path, tuple(found)) for path, found in values.items() if len(found) > 1]


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number that JSON knows")
