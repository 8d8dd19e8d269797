"""Records by the thousand from one that the builder made: only seeds and the number of the repeat differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.packs.options import DEFAULT_MAX_RECORDS
from jobs.queue.summary import facts_of
from jobs.records.reading import AnyRecord
from jobs.records.record import canonical_json

#: Stand in the texts of a mould where its casts differ. No record has such a number: seeds end at 2**32 - 1.
_SEED, _SUBSEED, _BATCH = 90_000_000_001, 90_000_000_002, 90_000_000_003


@dataclass(frozen=True, slots=True)
class Mould:
    """A record with gaps. `canonical` and `facts` are the pieces of text around the gaps.

    The gaps of `canonical` are the number of the repeat, seed and subseed; those of `facts` (what every event
    says of the record, as JSON without its opening brace and the job's number) are seed and number of the repeat.
    """

    record: AnyRecord
    canonical: tuple[str, str, str, str]
    facts: tuple[str, str, str]

    def record_text(self, seed: int, subseed: int, batch: int) -> str:
        """The canonical JSON of a record."""
        start, middle, later, end = self.canonical
        return f"{start}{batch}{middle}{seed}{later}{subseed}{end}"

    def facts_text(self, seed: int, batch: int) -> str:
        start, middle, end = self.facts
        return f"{start}{seed}{middle}{batch}{end}"


def moulds(source: PackSource, options: BuildOptions, count: int) -> tuple[list[Mould], BuildOptions]:
    """One per record that differs in more than its repeat, and the options with the repeats that `count` takes.

    Raises ValueError if the builder refuses.
    """
    made = build(source, options)
    if made.problems:
        raise ValueError(f"{source.pack_id} cannot be built: {made.problems[0].message}")
    repeats = -(-count // len(made.records))
    return [_mould(record, repeats) for record in made.records], options.model_copy(
        update={"repeat": repeats, "limit": count, "max_records": max(count, DEFAULT_MAX_RECORDS)}
    )


def casts(made: Sequence[Mould], count: int) -> Iterator[tuple[Mould, int]]:
    """The first `count` places of a build with repeats, in its order: mould and number of the repeat (0-based)."""
    return islice(((mould, batch) for mould in made for batch in range(mould.record.batch_total)), count)


def _mould(record: AnyRecord, repeats: int) -> Mould:
    gaps = {"seed": _SEED, "subseed": _SUBSEED, "batch_index": _BATCH}
    text = canonical_json(record.model_copy(update={**gaps, "batch_total": repeats}))
    first, _, rest = text.partition(str(_BATCH))
    second, _, rest = rest.partition(str(_SEED))
    third, _, last = rest.partition(str(_SUBSEED))
    facts = {name: value for name, value in facts_of(text).items() if name != "job_id"}
    start, _, rest = json.dumps(facts).partition(str(_SEED))
    middle, _, end = rest.partition(str(_BATCH))
    whole = record.model_copy(update={"batch_total": repeats})
    return Mould(whole, (first, second, third, last), (f", {start[1:]}", middle, end[:-1]))
