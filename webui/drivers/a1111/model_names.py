"""Whether two names mean one model file: as a person or a pack writes it, and as a WebUI tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from webui.work.catalog import Entry

ENDINGS: Final = ("safetensors", "sft", "ckpt", "pth", "pt", "gguf", "bin", "onnx")

_ENDING = re.compile(rf"(.+)\.({'|'.join(ENDINGS)})", re.IGNORECASE | re.DOTALL)
_HASHED = re.compile(r"(.+?) ?\[([0-9a-f]{6,64})\]", re.IGNORECASE | re.DOTALL)
"""A title: a name, and the beginning of the file's SHA-256. Other brackets belong to the name."""
_HASH = re.compile(r"[0-9a-f]{8,64}", re.IGNORECASE)


def same_model(asked: str, used: str, used_hash: str = "") -> bool:
    """Whether `asked` (a title, file name, path, bare name or hash) is the model that was `used`.

    What is equal is the same before anything is taken off. Where a title's hash and `used_hash` are both known, they
    decide, because names may be changed.
    """
    asked, used = asked.strip(), used.strip()
    if used and asked == used:
        return True
    if _HASH.fullmatch(asked) and _same_hash(asked, used_hash):
        return True
    titled = _HASHED.fullmatch(asked)
    if titled and used_hash:
        return _same_hash(titled[2], used_hash) or _same_file(asked, used)
    return any(_same_file(name, used) for name in _names(asked))


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """A model as a server tells it: its name, and the beginning of its SHA-256 where that is told."""

    name: str
    hash: str = ""

    @classmethod
    def of_title(cls, title: str) -> ModelUsed:
        """Of `name [hash]`, or of a name alone."""
        titled = _HASHED.fullmatch(title.strip())
        return cls(titled[1], titled[2]) if titled else cls(title.strip())

    def __bool__(self) -> bool:
        return bool(self.name or self.hash)

    def __str__(self) -> str:
        return f"{self.name} [{self.hash}]" if self.name and self.hash else self.name or self.hash

    def is_what_was_asked(self, asked: str, entry: Entry | None = None) -> bool:
        """Also under another name of `entry`, which is what the server makes of `asked`. Its hash is that of one file:
        a model of that name with another hash is another.
        """
        if entry is None:
            return same_model(asked, self.name, self.hash)
        if self.hash and entry.hashes:
            # The short hashes of old are no beginnings of a SHA-256: one that fits is enough.
            return any(_same_hash(one, self.hash) for one in entry.hashes)
        names = (asked, entry.name, *entry.aliases)
        return any(same_model(name, self.name, self.hash) for name in names)


def _names(asked: str) -> Iterator[str]:
    yield asked
    if titled := _HASHED.fullmatch(asked):
        yield titled[1]


def _same_hash(one: str, other: str) -> bool:
    one, other = one.lower(), other.strip().lower()
    return bool(other) and (one.startswith(other) or other.startswith(one))


def _same_file(asked: str, used: str) -> bool:
    """Without folders, or with them as some WebUIs tell them; an ending may be left out, but must not be another."""
    names = (re.split(r"[\\/]", asked)[-1], re.sub(r"[\\/]", "_", asked))
    return bool(used) and any(name == used or _same_but_for_an_ending(name, used) for name in names)


def _same_but_for_an_ending(name: str, used: str) -> bool:
    (stem, ending), (used_stem, used_ending) = _parts(name), _parts(used)
    return stem == used_stem and (not ending or not used_ending or ending == used_ending)


def _parts(name: str) -> tuple[str, str]:
    found = _ENDING.fullmatch(name)
    return (found[1], found[2].lower()) if found else (name, "")
