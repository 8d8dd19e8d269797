"""The matrix: which slots a row uses, how many combinations that makes, and which of them are taken.

The product is never built: a combination is its index, the last slot running fastest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

TOKEN_RE: Final = re.compile(r"\[\[([^\S\r\n]*+[^\s\[\],:()<>|][^\[\]\r\n,:()<>|]*)\]\]")
"""A token has a name: empty brackets are a broken one."""
Mode = Literal["none", "fanout", "random", "sequential", "rotate"]
MODES: Final[Mapping[str, Mode]] = {
    "fanout": "fanout",
    "grid": "fanout",
    "all": "fanout",
    "random": "random",
    "per_prompt": "random",
    "sequential": "sequential",
    "round_robin": "sequential",
    "rotate": "rotate",
}
"""The modes under all their names."""
MAX_COMBINATIONS: Final = 10**100
"""More than anybody chooses from; what is more is not counted, since no page and no record could write the number."""
MAX_SLOTS: Final = 1_000
"""Slots, wildcards or rules of one list that are read."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A matrix slot: its name as `[[name]]` says it, and its values in order."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowMatrix:
    """The combinations of one row: only the slots that it uses, in the pack's order.

    `total` is their product, `count` how many of them are taken (`limit` 0 takes all). Mode fanout takes
    the first, random draws distinct ones, sequential gives each row one, rotate goes on where the row
    before stopped; `start` is where this row's turn begins.
    """

    mode: Mode
    slots: tuple[Slot, ...]
    limit: int = 0
    start: int = 0

    @property
    def total(self) -> int:
        return product(len(slot.values) for slot in self.slots)

    @property
    def count(self) -> int:
        if self.mode == "sequential":
            return 1
        return min(self.total, self.limit) if self.limit else self.total

    def values(self, combination: int) -> dict[str, str]:
        """Slot names and values of one combination."""
        chosen: list[tuple[str, str]] = []
        for slot in reversed(self.slots):
            combination, position = divmod(combination, len(slot.values))
            chosen.append((slot.name, slot.values[position]))
        return dict(reversed(chosen))

    def combinations(self, build_seed: int, row: int, most: int) -> Iterator[int]:
        """Indexes of the taken combinations, in order; at most `most` are drawn where chance decides.

        Chance is the build seed and the row alone.
        """
        if self.mode in ("sequential", "rotate"):
            return ((self.start + turn) % self.total for turn in range(self.count))
        if self.mode != "random" or self.count == self.total <= most:
            return iter(range(self.count))
        return iter(draw(self.total, min(self.count, most), f"matrix:{build_seed}:{row}"))


def draw(total: int, count: int, key: str) -> list[int]:
    """`count` distinct indexes below `total`, rising, decided by `key` alone, in any process and version."""
    if 2 * count > total:
        left_out = set(draw(total, total - count, key)) if count < total else set()
        return [index for index in range(total) if index not in left_out]
    drawn: set[int] = set()
    attempt = 0
    while len(drawn) < count:
        digest = hashlib.sha256(f"{key}:{attempt}".encode()).digest()
        drawn.add(int.from_bytes(digest, "big") % total)
        attempt += 1
    return sorted(drawn)


def tokens_of(text: str) -> list[str]:
    """The names in the `[[tokens]]` of a text, each once, in order, as they are written."""
    return list(dict.fromkeys(TOKEN_RE.findall(text))) if "[[" in text else []


def product(counts: Iterable[int]) -> int:
    """Their product, or `MAX_COMBINATIONS` where it is that or more."""
    total = 1
    for number in counts:
        total = min(total * number, MAX_COMBINATIONS)
    return total


class SlotIndex:
    """Slots by what tokens call them: by exact name, else by letters and digits alone (`Hair Color`, `hair-color`)."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self._exact: dict[str, Slot] = {}
        self._plain: dict[str, Slot] = {}
        for slot in slots:
            self._exact.setdefault(slot.name, slot)
            self._plain.setdefault(_plain(slot.name), slot)
        self._plain.pop("", None)

    @classmethod
    def with_values(cls, slots: Iterable[Slot]) -> SlotIndex:
        """The slots that can answer a token."""
        return cls(slot for slot in slots if slot.values)

    def find(self, token: str) -> Slot | None:
        name = token.strip()
        return self._exact.get(name) or self._plain.get(_plain(name))


def find_slot(token: str, slots: Sequence[Slot]) -> Slot | None:
    """The slot that one token means; for more of them keep a `SlotIndex`."""
    return SlotIndex(slots).find(token)


def replace_tokens(text: str, values: Mapping[str, str]) -> str:
    """Put values for tokens; `values` maps names as the tokens write them."""
    if "[[" not in text:
        return text
    return TOKEN_RE.sub(lambda match: values.get(match[1], match[0]), text)


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
