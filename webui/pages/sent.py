"""What comes with a request outside of a form class: numbers (ids in addresses, places in lists), and short texts."""

from __future__ import annotations

from typing import Final

from django.urls import register_converter

#: A database holds every number of so many digits, and no row is numbered with more.
LONGEST: Final = 18


def whole(text: str) -> int | None:
    """The number that these digits (0 to 9) write; None for anything else and for more than a database holds."""
    return int(text) if len(text) <= LONGEST and text.isascii() and text.isdigit() else None


def plain(text: str, longest: int) -> str:
    """A text as a column of so many characters holds it: without what no database takes, and cut."""
    return text.replace("\0", "").strip()[:longest]


class IdConverter:
    """`<id:job_id>` in an address; an address with another text there leads nowhere."""

    regex = f"[0-9]{{1,{LONGEST}}}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


class HashConverter:
    """`<sha256:sha256>` in an address."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(IdConverter, "id")
register_converter(HashConverter, "sha256")
