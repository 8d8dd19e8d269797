"""The rows of a build: which slots, wildcards and rules each uses, and which slots nothing answers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.building.layers import (
    PackWords,
    RowTemplate,
    slots_of_tokens,
    template_of,
    tokens_in,
    with_values,
)
from jobs.building.sweeps import ConfigVariant, build_variants, variants_of_row
from jobs.building.variants import RowVariants
from jobs.packs.choices import choices_in
from jobs.packs.document import PackDocument
from jobs.packs.findings import Report, row_ranges
from jobs.packs.grammar import PackRow
from jobs.packs.matrix import Mode, RowMatrix, Slot, SlotIndex
from jobs.packs.options import BuildOptions, JsonScalar
from jobs.packs.pack import Pack
from jobs.packs.randomization import WILDCARD_RE


@dataclass(frozen=True, slots=True)
class RowPlan:
    """One selected row: its layers, what varies in it, which slot answers each of its tokens, and its settings."""

    row: PackRow
    template: RowTemplate
    variants: RowVariants
    slot_of_token: Mapping[str, str]
    configs: tuple[ConfigVariant, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a row uses: its tokens as written, the rules that find something in it, and its wildcards."""

    tokens: tuple[str, ...]
    rules: tuple[Slot, ...]
    wildcards: tuple[Slot, ...]


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
        report.refuse("no_rows", "it has no rows; a pack needs a text with at least one prompt.")
    usable = slots if mode != "none" else ()
    index = with_values(usable)
    selected = {row.index for row in _selected(pack.rows, options, report)}
    plans: list[RowPlan] = []
    unfilled: dict[str, list[PackRow]] = {}
    turn = 0
    for row in pack.rows:
        template = template_of(row, words)
        inventory = inventory_of(template, pack.document)
        found, missing = slots_of_tokens(inventory.tokens, index)
        used, drawn = _used(template, found, usable, index, pack.document)
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
    """Rows with the same settings share them; what is wrong in them goes to `report`, each row by its number."""
    common = build_variants(pack, options, report)
    own: dict[int, tuple[ConfigVariant, ...]] = {}
    made: dict[tuple[tuple[str, JsonScalar], ...], tuple[ConfigVariant, ...]] = {}
    told = {problem.field for problem in report.problems}
    chosen = set(range(len(pack.rows)) if options.rows is None else options.rows)
    for row, settings in pack.document.row_settings.items():
        if row not in chosen or row >= len(pack.rows):
            continue
        key = tuple(settings.items())
        if key not in made:
            found = Report(pack.source.pack_id, row=row + 1)
            made[key] = variants_of_row(common, settings, pack, options, found)
            report.problems += [problem for problem in found.problems if problem.field not in told]
        own[row] = made[key]
    return RowConfigs(common, own)


def inventory_of(template: RowTemplate, document: PackDocument) -> Inventory:
    """Look through the layers and through every word that a rule, wildcard or slot may put into them."""
    choices = document.choices
    rules = tuple(rule for rule in choices.rules if rule.name in template.row_text)
    texts = [*template.texts, *(value for rule in rules for value in rule.values)]
    if choices.wildcards:
        texts += [value for slot in document.matrix_slots for value in slot.values if "__" in value]
    written = {choice.name: choice for text in template.texts for choice in choices_in(text)}
    texts += [value for choice in written.values() for value in choice.values]
    names = {name for text in texts for name in WILDCARD_RE.findall(text)}
    wildcards = tuple(wildcard for wildcard in choices.wildcards if wildcard.name in names)
    texts += [value for wildcard in wildcards for value in wildcard.values]
    return Inventory(tokens_in(texts), rules, (*wildcards, *written.values()))


def _used(
    template: RowTemplate,
    found: Mapping[str, str],
    usable: Sequence[Slot],
    index: SlotIndex,
    document: PackDocument,
) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """The slots that multiply a row, and those that do not: they stand in the base prompt beside the row alone."""
    names = set(found.values())
    multiply = names
    if document.choices.base_prompt and document.choices.prompt_mode != "replace":
        tokens = inventory_of(template.without_base, document).tokens
        own = set(slots_of_tokens(tokens, index)[0].values())
        multiply = names & own or names
    return (
        tuple(slot for slot in usable if slot.name in multiply),
        tuple(slot for slot in usable if slot.name in names - multiply),
    )


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
    off = with_values(switched_off)
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
