"""Names of packs: one spelling for each, and nothing in them that a page or a terminal would show as something else."""

from __future__ import annotations

import unicodedata
from typing import Final

from jobs.errors import PackReadError

MAX_NAME_CHARS: Final = 200
_DIRECTION: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})


def one_spelling(name: str) -> str:
    """The composed spelling (NFC): file systems give `é` as one character or as two."""
    return unicodedata.normalize("NFC", name)


def other_spellings(name: str) -> tuple[str, ...]:
    """The composed and the decomposed spelling, where these differ from the name."""
    return tuple(
        dict.fromkeys(
            spelt
            for spelt in (unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
            if spelt != name
        )
    )


def pack_name(stem: str, file: str) -> str:
    """The pack's name from its file's. Raises PackReadError, naming file and character, for what no pack is called."""
    name = one_spelling(stem)
    odd = next((c for c in name if c in _DIRECTION or unicodedata.category(c) in _UNSEEN), None)
    if odd is not None:
        what = (
            "is not UTF-8" if unicodedata.category(odd) == "Cs" else f"holds the character U+{ord(odd):04X}"
        )
        raise PackReadError(f"The name of {shown_name(file)} {what}; rename the file.")
    if len(name) > MAX_NAME_CHARS:
        raise PackReadError(
            f"{shown_name(file)} has a name of more than {MAX_NAME_CHARS} characters; rename the file."
        )
    return name


def shown_name(file: str) -> str:
    """A file's name that is safe to show: what cannot be seen is written as its number."""
    return "".join(
        c.encode("unicode_escape").decode("ascii")
        if c in _DIRECTION or unicodedata.category(c) in _UNSEEN
        else c
        for c in file
    )
