"""The variants of one row: its matrix, multiplied by what fans out beside it, with every choice decided."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.packs.matrix import RowMatrix, Slot
from jobs.packs.randomization import ChoiceMode


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant: its place among all combinations, and the value of each slot, wildcard and rule."""

    combination: int
    values: dict[str, str]
    wildcards: dict[str, str]
    replacements: dict[str, str]


@dataclass(frozen=True, slots=True)
class RowVariants:
    """What varies in one row. Rules and wildcards are those that the row uses.

    `drawn` are slots that multiply nothing: each variant gets one of their values by chance.
    """

    matrix: RowMatrix
    drawn: tuple[Slot, ...] = ()
    rules: tuple[Slot, ...] = ()
    rules_mode: ChoiceMode = "random"
    wildcards: tuple[Slot, ...] = ()
    wildcards_mode: ChoiceMode = "random"

    @property
    def fans(self) -> RowMatrix:
        """Rules and wildcards that multiply, as one product."""
        rules = self.rules if self.rules_mode == "fanout" else ()
        wildcards = self.wildcards if self.wildcards_mode == "fanout" else ()
        return RowMatrix("fanout", (*_keyed("rule", rules), *_keyed("wildcard", wildcards)))

    @property
    def total(self) -> int:
        return self.matrix.total * self.fans.total

    @property
    def count(self) -> int:
        return self.matrix.count * self.fans.total

    def draw(self, build_seed: int, row: int, most: int) -> Iterator[Variant]:
        """The variants in order; of more than `most` combinations chance draws only that many."""
        fans = self.fans
        position = 0
        for index in self.matrix.combinations(build_seed, row, most):
            values = self.matrix.values(index)
            for fan in range(fans.total):
                combination = index * fans.total + fan
                chosen = fans.values(fan)
                key = f"{build_seed}:{row}:{combination}"
                yield Variant(
                    combination,
                    values | _choose("slot", self.drawn, "random", {}, key, 0),
                    _choose("wildcard", self.wildcards, self.wildcards_mode, chosen, key, row + position),
                    _choose("rule", self.rules, self.rules_mode, chosen, key, row + position),
                )
                position += 1


def _keyed(kind: str, slots: Sequence[Slot]) -> tuple[Slot, ...]:
    return tuple(Slot(f"{kind} {slot.name}", slot.values) for slot in slots)


def _choose(
    kind: str, slots: Sequence[Slot], mode: ChoiceMode, fanned: dict[str, str], key: str, turn: int
) -> dict[str, str]:
    if mode == "fanout":
        return {slot.name: fanned[f"{kind} {slot.name}"] for slot in slots}
    if mode == "sequential":
        return {slot.name: slot.values[turn % len(slot.values)] for slot in slots}
    return {slot.name: slot.values[_pick(f"{kind}:{key}:{slot.name}", len(slot.values))] for slot in slots}


def _pick(key: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % count
