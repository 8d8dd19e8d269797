"""JSON as people write it, with every key that stands twice. What it means is for `document`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from jobs.errors import DocumentError

MAX_DOUBLED: Final = 100
"""Doubled keys of one document that are named."""
MAX_PATH_CHARS: Final = 200
"""Characters of a path that are shown: keys are as long as their author likes."""

_UNCLEAN: Final = re.compile("[\0\ud800-\udfff]")


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
        data = json.loads(
            text.removeprefix("\ufeff"), parse_constant=_no_constant, object_pairs_hook=object_of
        )
    except json.JSONDecodeError as error:
        raise DocumentError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None
    except ValueError as error:
        raise DocumentError(str(error)) from None
    if not isinstance(data, dict):
        raise DocumentError("line 1, column 1: an object { ... } is expected")
    return data


def doubled_keys(data: object) -> tuple[tuple[DoubledKey, ...], int]:
    """Doubled keys of a parsed document with their paths, in order, and how many more there are than `MAX_DOUBLED`.

    Those within a value that does not count are among them.
    """
    found: list[DoubledKey] = []
    more = 0
    for steps, value in _walk(data):
        if isinstance(value, _Doubled):
            for key, values in _doubled_of(value.pairs):
                if len(found) < MAX_DOUBLED:
                    found.append(DoubledKey(_path([*steps, f".{key}"]), values))
                else:
                    more += 1
    return tuple(found), more


def dump_document(data: object, indent: str | None = None) -> str:
    """JSON that parses to the same again, its doubled keys too.

    Keys are sorted, and all is one line; with an `indent` they keep their order, and each item has its line.
    """
    inner = None if indent is None else f"{indent} "
    if isinstance(data, dict):
        pairs = pairs_of(data)
        items = [
            f"{_scalar(key)}: {dump_document(value, inner)}"
            for key, value in (_sorted(pairs) if indent is None else pairs)
        ]
        return _enclosed("{", items, "}", indent)
    if isinstance(data, list):
        return _enclosed("[", [dump_document(item, inner) for item in data], "]", indent)
    return _scalar(data)


def pairs_of(data: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every key and value of a parsed object, those of doubled keys too."""
    return data.pairs if isinstance(data, _Doubled) else list(data.items())


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object with these keys and values; it remembers those of doubled keys."""
    data = dict(pairs)
    if len(data) == len(pairs):
        return data
    doubled = _Doubled(data)
    doubled.pairs = pairs
    return doubled


def _enclosed(opening: str, items: list[str], closing: str, indent: str | None) -> str:
    if indent is None or not items:
        return f"{opening}{', '.join(items)}{closing}"
    inner = f"\n{indent} "
    return f"{opening}{inner}{f',{inner}'.join(items)}\n{indent}{closing}"


def _scalar(value: object) -> str:
    """A key or a value that holds no others."""
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"  # JSON has no infinity; a number too large is read as one.
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _UNCLEAN.search(text) else text


def _sorted(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return sorted(pairs, key=lambda pair: pair[0])


def unclean_path(data: object) -> str:
    """The path of the first text with a NUL or half a surrogate pair in it; "" if there is none."""
    for steps, value in _walk(data):
        if isinstance(value, str) and _UNCLEAN.search(value):
            return _path(steps) or "root"
    return ""


def _walk(data: object) -> Iterator[tuple[list[str], object]]:
    """Every value, and every key as one, with the steps that lead there, which hold until the next is asked for.

    As many iterators as the document is deep, and no path before it is needed: it can hold millions of values.
    """
    steps: list[str] = []
    opened = [iter([("", data)])]
    while opened:
        step, value = next(opened[-1], ("", opened))
        if value is opened:
            opened.pop()
            if steps:
                steps.pop()
            continue
        steps.append(step)
        yield steps, value
        if isinstance(value, dict | list):
            opened.append(_items(value))
        else:
            steps.pop()


def _items(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str, object]]:
    """The values of an object or list with their steps, an object's keys too."""
    if isinstance(value, list):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
        return
    for key, item in pairs_of(value):
        yield " key", key
        yield f".{key}", item


def _path(steps: list[str]) -> str:
    path = "".join(step[: MAX_PATH_CHARS + 1] for step in steps).strip(".")
    path = path.encode("utf-8", "replace").decode().replace("\0", "?")
    return path if len(path) <= MAX_PATH_CHARS else f"{path[:MAX_PATH_CHARS]}…"


def _doubled_of(pairs: list[tuple[str, Any]]) -> Iterator[tuple[str, tuple[object, ...]]]:
    values: dict[str, list[object]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return ((key, tuple(found)) for key, found in values.items() if len(found) > 1)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number that JSON knows")
