"""What varies in a pack: matrix slots, wildcards, searched words and sweeps, with their values and their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobs.building.builder import PackSource
from jobs.building.plan import RowPlan
from jobs.building.sweeps import sweeps_of
from jobs.packs.findings import row_ranges
from jobs.packs.matrix import MODES, Slot, SlotIndex
from jobs.packs.options import BuildOptions
from jobs.reading.pack_rows import ReadPack, read

#: Values of one slot that a page shows; the rest is only counted.
MAX_VALUES = 40

_MODE_WORDS = {
    "fanout": "every combination",
    "random": "combinations drawn from the build seed",
    "sequential": "one combination a row, in turn",
    "rotate": "each row goes on where the one before stopped",
    "none": "off",
}
_CHOICE_WORDS = {
    "random": "one value per record, drawn from the build seed",
    "sequential": "one value per record, in turn",
    "fanout": "every value",
}


@dataclass(frozen=True, slots=True)
class SettingChoice:
    """Something with several values; `name` as the rows write it, `rows` in words, "" where no row uses it."""

    name: str
    values: tuple[str, ...]
    more_values: int
    rows: str
    mode: str

    @property
    def count(self) -> int:
        return len(self.values) + self.more_values


@dataclass(frozen=True, slots=True)
class Missing:
    """A token of some rows that has no values."""

    token: str
    rows: str


@dataclass(frozen=True, slots=True)
class PackChoices:
    """Everything that varies in a pack.

    `is_off`: the pack has slots, but its matrix is not enabled. `combinations` and `limit` say in words how many
    variants a row makes.
    """

    slots: tuple[SettingChoice, ...]
    is_off: bool
    matrix_mode: str
    combinations: str
    missing: tuple[Missing, ...]
    wildcards: tuple[SettingChoice, ...]
    searched: tuple[SettingChoice, ...]
    sweeps: tuple[SettingChoice, ...]
    base_prompt: str
    prompt_mode: str

    def __bool__(self) -> bool:
        return bool(
            self.slots or self.missing or self.wildcards or self.searched or self.sweeps or self.base_prompt
        )


def pack_choices(source: PackSource) -> PackChoices:
    found = read(source)
    document, rows = found.pack.document, found.plan.rows
    mode = MODES.get(document.matrix.mode.strip().lower(), "fanout")
    choices = document.choices
    using = _using(found)
    return PackChoices(
        slots=tuple(
            _choice(slot, f"[[{slot.name}]]", using.slots[slot.name], "") for slot in document.matrix_slots
        ),
        is_off=bool(document.matrix_slots) and not document.matrix.enabled,
        matrix_mode=_MODE_WORDS[mode],
        combinations=_combinations(rows, mode, document.matrix.limit),
        missing=_missing(found),
        wildcards=tuple(
            _choice(slot, slot.name, using.wildcards[slot.name], _CHOICE_WORDS[choices.wildcards_mode])
            for slot in choices.wildcards
        ),
        searched=tuple(
            _choice(slot, slot.name, using.rules[slot.name], _CHOICE_WORDS[choices.rules_mode])
            for slot in choices.rules
        ),
        sweeps=tuple(
            _choice(Slot(path, tuple(map(str, values))), path, (), "every value")
            for path, values in sweeps_of(document, BuildOptions(build_seed=0)).items()
        ),
        base_prompt=choices.base_prompt,
        prompt_mode=choices.prompt_mode,
    )


def missing_together(packs: Iterable[tuple[str, PackSource]]) -> tuple[Missing, ...]:
    """The tokens without values of several packs (name and source), each once; `rows` names the packs too."""
    rows_of: dict[str, list[str]] = {}
    for name, source in packs:
        for missing in _missing(read(source)):
            rows_of.setdefault(missing.token, []).append(f"{name}: {missing.rows}")
    return tuple(Missing(token, "; ".join(rows)) for token, rows in rows_of.items())


def _choice(slot: Slot, name: str, rows: Iterable[int], mode: str) -> SettingChoice:
    return SettingChoice(
        name=name,
        values=slot.values[:MAX_VALUES],
        more_values=max(0, len(slot.values) - MAX_VALUES),
        rows=row_ranges(rows),
        mode=mode,
    )


@dataclass(frozen=True, slots=True)
class _Using:
    """Rows (from 1) that use a slot, wildcard or rule, by its name."""

    slots: Mapping[str, Sequence[int]]
    wildcards: Mapping[str, Sequence[int]]
    rules: Mapping[str, Sequence[int]]


def _using(found: ReadPack) -> _Using:
    """Looked up once for all of them; a slot counts those rows too that would use it if the matrix were on."""
    slots, wildcards, rules = (defaultdict[str, list[int]](list) for _ in range(3))
    for plan in found.plan.rows:
        for names, used in (
            (slots, set(plan.slot_of_token.values())),
            (wildcards, (one.name for one in plan.variants.wildcards)),
            (rules, (one.name for one in plan.variants.rules)),
        ):
            for name in used:
                names[name].append(plan.row.index + 1)
    known = SlotIndex(found.pack.document.matrix_slots)
    for row, token in _unanswered(found):
        if (slot := known.find(token)) is not None:
            slots[slot.name].append(row)
    return _Using(slots, wildcards, rules)


def _combinations(rows: Sequence[RowPlan], mode: str, limit: int) -> str:
    """`4 of 25 combinations per row`."""
    matrices = [plan.variants.matrix for plan in rows if plan.variants.matrix.slots]
    if not matrices:
        return ""
    taken = sorted({matrix.count for matrix in matrices})
    totals = sorted({matrix.total for matrix in matrices})
    of = "" if taken == totals else f" of {_spread(totals)}"
    limited = f", limited to {limit:,}" if limit and mode != "sequential" and taken != totals else ""
    one = taken == [1] and not of
    return f"{_spread(taken)}{of} combination{'' if one else 's'} per row{limited}"


def _spread(numbers: Sequence[int]) -> str:
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"


def _missing(found: ReadPack) -> tuple[Missing, ...]:
    own = SlotIndex.with_values(found.pack.document.matrix_slots)
    rows_of: dict[str, set[int]] = {}
    for row, token in _unanswered(found):
        if own.find(token) is None:
            rows_of.setdefault(token.strip(), set()).add(row)
    return tuple(Missing(token, row_ranges(rows)) for token, rows in rows_of.items())


def _unanswered(found: ReadPack) -> Iterable[tuple[int, str]]:
    """Row (from 1) and token, for every token that gets no value."""
    for problem in found.problems:
        if problem.code == "unresolved_token":
            for row in problem.rows:
                yield row, problem.field
