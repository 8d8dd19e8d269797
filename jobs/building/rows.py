"""The rows of a build: which slots, wildcards and rules each uses, and which slots nothing answers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.building.film_stages import SNAPPED, follows_picture, sized
from jobs.building.inventory import Inventory, Said, inventory_of, said_by
from jobs.building.layers import PackWords, RowTemplate, slots_of_tokens, template_of
from jobs.building.sweeps import ConfigVariant, build_variants, variants_of_row
from jobs.building.variants import RowVariants
from jobs.packs.document import PackDocument
from jobs.packs.findings import Report, row_ranges
from jobs.packs.grammar import PackRow
from jobs.packs.kinds import IMAGE
from jobs.packs.matrix import MAX_COMBINATIONS, Mode, RowMatrix, Slot, SlotIndex
from jobs.packs.options import BuildOptions, JsonScalar
from jobs.packs.pack import Pack
from jobs.packs.row_settings import WHERE

_NEEDED = "a pack needs a text with at least one prompt"
_NEEDED_OF_FILMS = "a pack of films or edits needs at least one picture"


@dataclass(frozen=True, slots=True)
class RowPlan:
    """One selected row: its layers, what varies in it, which slot answers each of its tokens, and its settings."""

    row: PackRow
    template: RowTemplate
    variants: RowVariants
    slot_of_token: Mapping[str, str]
    configs: tuple[ConfigVariant, ...]


def plan_rows(
    pack: Pack,
    slots: Sequence[Slot],
    mode: Mode,
    limit: int,
    words: PackWords,
    configs: RowConfigs,
    options: BuildOptions,
    report: Report,
) -> tuple[RowPlan, ...]:
    """The selected rows; what refuses them, and what is left out, goes to `report`, once for each slot."""
    if not pack.rows:
        report.refuse("no_rows", f"it has no rows; {_NEEDED if pack.kind == IMAGE else _NEEDED_OF_FILMS}.")
    usable = slots if mode != "none" else ()
    index = SlotIndex.with_values(usable)
    places = {slot.name: place for place, slot in enumerate(usable)}
    said = said_by(pack.document)
    selected = {row.index for row in _selected(pack.rows, options, report)}
    plans: list[RowPlan] = []
    unfilled: dict[str, list[PackRow]] = {}
    turn = 0
    for row in pack.rows:
        template = template_of(row, words)
        inventory = inventory_of(template, pack.document, said)
        found, missing = slots_of_tokens(inventory.tokens, index)
        multiply = _multiplying(template, found, index, pack.document, said)
        used, drawn = (
            tuple(usable[place] for place in sorted(places[name] for name in names))
            for names in (multiply, set(found.values()) - multiply)
        )
        # Turns count over all rows that use the matrix, so that a choice of rows does not change what one gets.
        matrix = RowMatrix(mode if used else "none", used, limit if used else 0, turn)
        turn += matrix.count if used else 0
        if row.index not in selected:
            continue
        for token in missing:
            unfilled.setdefault(token, []).append(row)
        if not (missing and options.skip_unfilled):
            variants = _variants(matrix, drawn, inventory, pack.document)
            plans.append(RowPlan(row, template, variants, found, configs.of(row)))
    _tell_unfilled(unfilled, slots if mode == "none" else (), options, report)
    if unfilled and not plans and options.skip_unfilled:
        report.refuse("no_rows", "every chosen row has a slot without values, so no row is left.")
    _refuse_uncounted(plans, report)
    _tell_drawn(plans, report)
    _check_values(plans, report)
    return tuple(plans)


@dataclass(frozen=True, slots=True)
class RowConfigs:
    """The settings of a build: the pack's, and by row (from 0) those of rows that have some of their own."""

    common: tuple[ConfigVariant, ...]
    own: Mapping[int, tuple[ConfigVariant, ...]]

    def of(self, row: PackRow) -> tuple[ConfigVariant, ...]:
        return self.own.get(row.index, self.common)

    @property
    def documents(self) -> list[PackDocument]:
        """Every set of settings once."""
        every = {id(configs): configs for configs in (self.common, *self.own.values())}
        return [config.document for configs in every.values() for config in configs]


def row_configs(pack: Pack, options: BuildOptions, report: Report) -> RowConfigs:
    """Rows with the same settings share them; what is wrong in them goes to `report`, each row by its number.

    More sets than a submission may hold records are refused, and not made: a sweep multiplies those of every row.
    """
    common = build_variants(pack, options, report)
    chosen = set(range(len(pack.rows)) if options.rows is None else options.rows)
    asked = {
        row: settings
        for row, settings in pack.document.row_settings.items()
        if row in chosen and row < len(pack.rows)
    }
    kinds = len({tuple(settings.items()) for settings in asked.values()})
    if kinds * len(common) > options.max_records:
        words = (
            f"{kinds:,} rows with settings of their own x {len(common):,} config variants are more than the "
            f"{options.max_records:,} sets of settings that one submission may hold. Use --rows, or sweep less."
        )
        report.refuse("too_many_records", words, WHERE)
        return RowConfigs(common, {})
    own: dict[int, tuple[ConfigVariant, ...]] = {}
    made: dict[tuple[tuple[str, JsonScalar], ...], tuple[ConfigVariant, ...]] = {}
    told = {problem.field for problem in report.problems}
    for row, settings in asked.items():
        key = tuple(settings.items())
        if key not in made:
            found = Report(pack.source.pack_id, row=row + 1)
            made[key] = variants_of_row(common, settings, pack, options, found)
            once = dict.fromkeys(problem for problem in found.problems if problem.field not in told)
            report.problems += once
            said = {warning.message for warning in report.warnings}
            snapped = {one.message: one.field for one in found.warnings if one.code == SNAPPED}
            for words, setting in snapped.items():
                if words not in said:
                    report.warn(SNAPPED, f"row {row + 1}: {words}", setting)
        own[row] = made[key]
    configs = RowConfigs(common, own)
    return configs if pack.kind == IMAGE else _sized(configs, pack, chosen, report)


def _sized(configs: RowConfigs, pack: Pack, chosen: set[int], report: Report) -> RowConfigs:
    """The settings of films and edits, each row's with the sizes that follow its picture; equal ones are shared."""
    own: dict[int, tuple[ConfigVariant, ...]] = {}
    made: dict[tuple[int, int, int], tuple[ConfigVariant, ...]] = {}
    unknown: list[int] = []
    unread = {problem.row for problem in pack.text.problems if problem.field in ("images", "sizes")}
    for row in pack.rows:
        variants = configs.of(row)
        if row.index not in chosen or not row.images or not any(follows_picture(v.chain) for v in variants):
            own[row.index] = variants
            continue
        width, height = row.images[0].width_px, row.images[0].height_px
        if not (width and height):
            unknown += {row.index + 1} - unread
            continue
        key = (id(variants), width, height)
        if key not in made:
            made[key] = tuple(replace(v, chain=sized(v.chain, width, height)) for v in variants)
        own[row.index] = made[key]
    if unknown:
        words = (
            f"{pack.kind}.width or {pack.kind}.height is 0, which follows the picture, and its size is not known; "
            "give both, or submit its folder or list again."
        )
        report.refuse_rows("unknown_size", words, f"{pack.kind}.width", tuple(unknown))
    return RowConfigs(configs.common, own)


def _multiplying(
    template: RowTemplate, found: Mapping[str, str], index: SlotIndex, document: PackDocument, said: Said
) -> set[str]:
    """The slots that multiply a row. The others stand in the base prompt beside the row alone."""
    names = set(found.values())
    if not document.choices.base_prompt or document.choices.prompt_mode == "replace":
        return names
    tokens = inventory_of(template.without_base, document, said).tokens
    own = set(slots_of_tokens(tokens, index)[0].values())
    return names & own or names


def _variants(
    matrix: RowMatrix, drawn: tuple[Slot, ...], inventory: Inventory, document: PackDocument
) -> RowVariants:
    choices = document.choices
    return RowVariants(
        matrix,
        drawn,
        inventory.rules,
        choices.rules_mode,
        inventory.wildcards,
        choices.wildcards_mode,
    )


def _selected(rows: Sequence[PackRow], options: BuildOptions, report: Report) -> Sequence[PackRow]:
    if options.rows is None:
        return rows
    for index in options.rows:
        if index >= len(rows) > 0:
            words = f"there is no row {index + 1}; the pack has {len(rows)}."
            report.refuse("unknown_row", words, "rows", row=index + 1)
    return [rows[index] for index in options.rows if index < len(rows)]


def _tell_unfilled(
    unfilled: Mapping[str, Sequence[PackRow]],
    switched_off: Sequence[Slot],
    options: BuildOptions,
    report: Report,
) -> None:
    off = SlotIndex.with_values(switched_off)
    told_of_brackets = False
    for token, rows in unfilled.items():
        numbers = tuple(row.index + 1 for row in rows)
        if options.skip_unfilled:
            words = f"[[{token}]] has no values, so {row_ranges(numbers)} {_are(numbers)} skipped."
            report.warn("skipped_rows", words, token)
            continue
        first = rows[0].first_line
        where = f" (the row begins in line {first})" if first and len(rows) == 1 else ""
        if off.find(token):
            hint = "the pack has values for it, but its matrix is off: --set matrix.enabled=true"
        else:
            hint = f"give it values with --matrix {shlex.quote(f'{token.strip()}=VALUE,VALUE')}"
        hint += f", or skip {'these rows' if len(rows) > 1 else 'this row'} with --skip-unfilled"
        if not told_of_brackets:
            told_of_brackets = True
            hint += f"; brackets that only weaken a word are written [ [{token.strip()}] ]"
        report.refuse_rows("unresolved_token", f"[[{token}]] has no values{where}; {hint}.", token, numbers)


def _are(numbers: Sequence[int]) -> str:
    return "are" if len(numbers) > 1 else "is"


def _refuse_uncounted(plans: Sequence[RowPlan], report: Report) -> None:
    rows = tuple(plan.row.index + 1 for plan in plans if plan.variants.total >= MAX_COMBINATIONS)
    if rows:
        whose = "their" if len(rows) > 1 else "its"
        words = f"{whose} slots make {MAX_COMBINATIONS:.0e} combinations or more; use fewer slots or values."
        report.refuse_rows("too_many_combinations", words, "matrix", rows)


def _tell_drawn(plans: Sequence[RowPlan], report: Report) -> None:
    names = dict.fromkeys(slot.name for plan in plans for slot in plan.variants.drawn)
    if names:
        listed = ", ".join(map(repr, names))
        words = (
            f"slots {listed} stand in the base prompt alone: each record draws a value, no row is multiplied."
        )
        report.warn("drawn_slot", words, "randomization.matrix.base_prompt")


def _check_values(plans: Sequence[RowPlan], report: Report) -> None:
    rows_of: dict[tuple[str, str], list[int]] = {}
    nested: dict[str, str | None] = {}
    for plan in plans:
        for slot in (*plan.variants.matrix.slots, *plan.variants.drawn):
            if slot.name not in nested:
                nested[slot.name] = next((value for value in slot.values if "[[" in value), None)
            value = nested[slot.name]
            if value is not None:
                rows_of.setdefault((slot.name, value), []).append(plan.row.index + 1)
    for (name, value), rows in rows_of.items():
        words = f"matrix slot {name!r} has the value {value!r}; a value cannot hold [[tokens]]."
        report.refuse_rows("unresolved_token", words, name, tuple(rows))
