"""One picture of one request with everybody who says something of it, and when what they say is the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from webui.drivers.a1111.resolving import find
from webui.drivers.a1111.told_fields import Told
from webui.work.catalog import Catalog, Entry, Has, Need
from webui.work.testimony import Saying, Testimony, Witness
from webui.work.unit import Request

A1111, FORGE = "a1111", "forge"
KNOWN_DIALECTS: Final = (A1111, FORGE)
"""Of the others nobody has seen what they leave out."""

_COMMENT = re.compile(r"(^|\n)[ \t]*#[^\n]*(\n|$)")
Same = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class PictureCase:
    """One picture of one request, with everybody who says something of it."""

    request: Request
    place: int
    told: tuple[Told, ...]
    catalog: Catalog | None

    @property
    def body(self) -> Mapping[str, Any]:
        return self.request.body

    @property
    def options(self) -> Mapping[str, Any]:
        return self.body.get("override_settings") or {}

    @property
    def dialect(self) -> str:
        """As the catalog says; else by how the version is written: v1.9.3, f2.0.1v1.10.1."""
        if self.catalog is not None and self.catalog.dialect:
            return self.catalog.dialect
        versions = (one.fields.get("Version", "") for one in self.told)
        version = next(filter(None, versions), "")
        if re.match(r"f\d", version):
            return FORGE
        return A1111 if re.match(r"v\d", version) else ""

    def first(self, name: str) -> str:
        """What the first witness that tells it says."""
        return next(filter(None, (one.fields.get(name, "") for one in self.told)), "")

    def resolved(self, need: Need) -> Entry | None:
        """What the server makes of a name."""
        if self.catalog is None:
            return None
        found = find(self.catalog, need)
        return found.entry if found.has is Has.YES else None

    def same_thing(self, need: Need) -> Same:
        """By the very name, or by any name under which the server has it."""
        entry = self.resolved(need)
        names = {plain_name(need.name)} | (
            {plain_name(one) for one in (entry.name, *entry.aliases)} if entry else set()
        )
        return lambda asked, used: plain_name(used) in names


def plain_testimony(case: PictureCase, name: str, asked: object, unsaid: str = "") -> Iterator[Testimony]:
    """A setting that every witness calls by its own name and says as it was used; None was left to the server."""
    if asked is None:
        return
    yield Testimony(name, str(asked), tuple(sayings_of(case, name, str(asked), _same_number, unsaid=unsaid)))


def sayings_of(
    case: PictureCase, name: str, asked: str, same: Same, *, proves: bool = True, unsaid: str = ""
) -> Iterator[Saying]:
    """`unsaid` is what a text means that does not name it."""
    for one in case.told:
        used = one.fields.get(name, "") or (unsaid if one.witness is not Witness.INFO else "")
        if used:
            yield Saying(one.witness, used, same(asked, used), proves)


def same_words(asked: str, used: str) -> bool:
    """Spaces aside; lines that begin with # are comments, which servers take out."""
    return _words(asked) == _words(used) or _words(_COMMENT.sub("\n", asked)) == _words(used)


def _words(text: str) -> list[str]:
    return text.split()


def _same_number(asked: str, used: str) -> bool:
    try:
        # Seeds are longer than what a float can tell apart.
        return int(asked) == int(used)
    except ValueError:
        pass
    try:
        return abs(float(asked) - float(used)) < 1e-6
    except ValueError:
        return asked == used


def plain_name(name: str) -> str:
    """`sgm_uniform` and `SGM Uniform` are one schedule, and no two things of a list differ only by that."""
    return re.sub(r"[\s_]+", " ", name).strip().casefold()
