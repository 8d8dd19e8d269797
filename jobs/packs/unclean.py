"""Text within JSON that no database and no request can carry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

_UNCLEAN: Final = re.compile("[\0\ud800-\udfff]")


def unclean_path(data: object) -> str:
    """The path of the first text with a NUL or half a surrogate pair in it; "" if there is none."""
    # As many iterators as the document is deep, and no path before it is needed: it can hold millions of values.
    opened: list[tuple[str, Iterator[tuple[str, object]]]] = [("", iter([("", data)]))]
    while opened:
        step, value = next(opened[-1][1], ("", opened))
        if value is opened:
            opened.pop()
        elif isinstance(value, dict):
            opened.append((step, chain(((" key", key) for key in value), _steps(value))))
        elif isinstance(value, list):
            opened.append((step, ((f"[{index}]", item) for index, item in enumerate(value))))
        elif isinstance(value, str) and _UNCLEAN.search(value):
            path = "".join(name for name, _ in opened) + step
            return path.strip(".").encode("utf-8", "replace").decode().replace("\0", "?") or "root"
    return ""


def _steps(data: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    return ((f".{key}", value) for key, value in data.items())
