"""Concrete seeds for records: derived at build, so that every picture can be rendered again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from jobs.records.record import MAX_SEED


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """How a build turns a pack's seed (-1: any) into concrete ones.

    A repeat moves on by as many seeds as a record has pictures, because a WebUI counts up by one from
    picture to picture: so no two pictures of one row share a seed. `fixed_per_row` keeps one seed for all
    records of a row.
    """

    build_seed: int
    seed: int
    images_per_record: int
    fixed_per_row: bool

    def concrete(self, row: int, combination: int, sweep: int, batch: int, *, use: str = "seed") -> int:
        """The seed of a record, 0 to 2**32 - 1; `use` keeps seeds and subseeds apart."""
        if self.fixed_per_row:
            combination = sweep = batch = 0
        first = self.seed
        if first < 0:
            key = f"{use}:{self.build_seed}:{row}:{combination}:{sweep}"
            if self.fixed_per_row:
                key = f"{use}:{self.build_seed}:{row}"
            first = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
        return (first + batch * self.images_per_record) % (MAX_SEED + 1)
