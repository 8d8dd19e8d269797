"""Everything about a build but its records: chosen rows, matrices, counts and every reason to refuse it.

A pack is planned once. What is counted, refused, previewed or built comes from that plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from jobs.building.inventory import inventory_of, said_by
from jobs.building.layers import PackWords, slots_of_tokens, template_of
from jobs.building.prompts import stage_words_of
from jobs.building.rows import RowPlan as RowPlan
from jobs.building.rows import plan_rows, row_configs
from jobs.building.sweeps import sweep_count, sweeps_of
from jobs.errors import RecordProblem
from jobs.packs.document import PackDocument
from jobs.packs.findings import MORE_WARNINGS, PackWarning, Report, told
from jobs.packs.kinds import IMAGE
from jobs.packs.matrix import MODES, Mode, Slot, SlotIndex, find_slot
from jobs.packs.options import BuildOptions
from jobs.packs.pack import Pack
from jobs.packs.sources import PackSource

_SEED_MODES: Final = frozenset({"", "none", "random", "fixed"})


@dataclass(frozen=True, slots=True)
class BuildCounts:
    """How many records a build makes, and why; known before anything is built.

    `combinations` holds one number per selected row, after the matrix's own limit; `all_records` is the
    whole fan-out, `records` what `limit` leaves of it, `images` the pictures of those.
    """

    rows: int
    combinations: tuple[int, ...]
    sweeps: int
    repeats: int
    images_per_record: int
    all_records: int
    limit: int | None

    @property
    def records(self) -> int:
        return self.all_records if self.limit is None else min(self.all_records, self.limit)

    @property
    def images(self) -> int:
        return self.records * self.images_per_record

    @property
    def factors(self) -> str:
        """The product in words, for tables and errors."""
        spread = sorted(set(self.combinations)) or [0]
        each = f"{spread[0]:,}" if len(spread) == 1 else f"{spread[0]:,} to {spread[-1]:,}"
        sweeps = f" x {self.sweeps:,} config variants" if self.sweeps > 1 else ""
        return (
            f"{self.rows:,} rows x {each} combinations{sweeps} x {self.repeats:,} repeats "
            f"= {self.all_records:,} records"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pack makes of a person's options; `builder` makes its records, all or some.

    `pack` is as its author wrote it. `reasons` refuse the build whatever its limit, `problems` are all.
    """

    pack: Pack
    options: BuildOptions
    rows: tuple[RowPlan, ...]
    counts: BuildCounts
    warnings: tuple[PackWarning, ...]
    reasons: tuple[RecordProblem, ...]

    @property
    def source(self) -> PackSource:
        return self.pack.source

    @property
    def problems(self) -> tuple[RecordProblem, ...]:
        """Every reason why this cannot be submitted; none for a plan that can be built."""
        report = Report(self.source.pack_id)
        if self.counts.records > self.options.max_records:
            words = (
                f"{self.counts.factors}, more than the {self.options.max_records:,} that one submission may hold. "
                "Use --limit or --rows, or set matrix.limit."
            )
            report.refuse("too_many_records", words)
        elif self._wants_unread_rows:
            words = f"it has more than {len(self.pack.rows):,} rows, and those after them are not read. "
            report.refuse("too_many_rows", words + "Use --limit or --rows, or split the pack.")
        return (*self.reasons, *report.problems)

    @property
    def _wants_unread_rows(self) -> bool:
        """Whether this asks for rows after the last one that is read: those that are do not fill the limit."""
        asked, limit = self.options.rows, self.options.limit
        return self.pack.text.more_rows and asked is None and (limit is None or self.counts.records < limit)

    def limited(self, limit: int | None) -> Plan:
        """The same plan with another limit of its records: nothing is read or planned again."""
        options = self.options.model_copy(update={"limit": limit})
        return replace(self, options=options, counts=replace(self.counts, limit=limit))


def plan_build(pack: Pack, options: BuildOptions) -> Plan:
    """Plan a build; `problems` has every reason why it cannot be submitted, all at once."""
    settled = pack.under(options.overrides, options.preset)
    document = settled.document
    report = Report(pack.source.pack_id)
    report.warnings.keep(settled.warnings)
    report.problems.keep(settled.problems)
    slots = merge_slots(document.matrix_slots, options.matrix)
    mode, limit = _mode(document, options, report)
    late = Report(pack.source.pack_id)
    configs = row_configs(settled, options, late)
    pack_words = _words(document, options, configs.documents or [document])
    rows = plan_rows(settled, slots, mode, limit, pack_words, configs, options, report)
    report.problems += late.problems
    report.warnings += late.warnings
    _warn_of_settings(document, rows, report)
    _warn_of_asked_slots(rows, slots, options, report)
    if options.rows is None:
        report.warnings += unused_slots(settled)
    if options.strict:
        _refuse_unread(report, {plan.row.index + 1 for plan in rows})
    counts = _count(rows, document, options)
    return Plan(pack, options, rows, counts, told(report.warnings), tuple(report.problems))


def _refuse_unread(report: Report, rows: set[int]) -> None:
    """What the chosen rows would send as words although another program reads it; no row means all of them."""
    for warning in report.warnings:
        if warning.code in UNREAD and (warning.row is None or warning.row in rows):
            words = warning.message.removeprefix(f"row {warning.row}: ")
            where = f"line {warning.line}: " if warning.line is not None else ""
            report.refuse(warning.code, where + words, warning.field, row=warning.row)
    if report.warnings.left_out or any(warning.code == MORE_WARNINGS for warning in report.warnings):
        words = (
            "it has more warnings than are kept, so --strict cannot judge them all; mend those that are told."
        )
        report.refuse(MORE_WARNINGS, words)


UNREAD: Final = frozenset(
    {"dynamic_prompt", "wildcard", "half_token", "option_lines", "copied_parameters", "settings_as_prompt"}
    | {"foreign_negative", "conflict_marker", "lines_as_row"}
)
"""Warnings about words that were meant for something else."""


def merge_slots(own: Sequence[Slot], asked: Mapping[str, Sequence[str]]) -> tuple[Slot, ...]:
    """The pack's slots with a person's values in their place; slots the pack lacks follow by name."""
    given: dict[str, Slot] = {}
    for name in sorted(asked):
        meant = find_slot(name, own)
        called = meant.name if meant else name
        given[called] = Slot(called, tuple(dict.fromkeys(asked[name])))
    merged = [given.pop(slot.name, slot) for slot in own]
    return (*merged, *given.values())


def _warn_of_asked_slots(
    rows: Sequence[RowPlan], slots: Sequence[Slot], options: BuildOptions, report: Report
) -> None:
    """A misspelt slot would otherwise change nothing and say nothing."""
    used = {name for row in rows for name in row.slot_of_token.values()}
    for name in sorted(options.matrix):
        slot = find_slot(name, slots)
        if slot is None or slot.name not in used:
            report.warn("unused_slot", f"--matrix {name}: no selected row uses [[{name}]].", name)


def author_warnings(pack: Pack) -> tuple[PackWarning, ...]:
    """What its author should know, without anybody's options: oddities, and slots that no row uses."""
    return (*pack.warnings, *unused_slots(pack))


def unused_slots(pack: Pack) -> list[PackWarning]:
    """A warning for each slot with values, of an enabled matrix, that no row of the pack uses."""
    document, report = pack.document, Report(pack.source.pack_id)
    if not document.matrix.enabled:
        return []
    words = _words(document, BuildOptions(build_seed=0), [document])
    templates = [template_of(row, words) for row in pack.rows]
    said = said_by(document)
    tokens = {token for row in templates for token in inventory_of(row, document, said).tokens}
    used = set(slots_of_tokens(sorted(tokens), SlotIndex.with_values(document.matrix_slots))[0].values())
    for slot in document.matrix_slots:
        if slot.values and slot.name not in used:
            report.warn("unused_slot", f"matrix slot {slot.name!r} is used by no row.", slot.name)
    return report.warnings


def _mode(document: PackDocument, options: BuildOptions, report: Report) -> tuple[Mode, int]:
    """The matrix's mode and limit. A person's slots mean all combinations, unless told otherwise.

    A mode that nobody knows means all combinations too: refused where a person asks for it, else told.
    """
    asked = {path.removeprefix("pack_data.") for path in options.overrides}
    enabled = document.matrix.enabled or (bool(options.matrix) and "matrix.enabled" not in asked)
    if not enabled:
        return "none", 0
    name = document.matrix.mode if not options.matrix or "matrix.mode" in asked else "fanout"
    limit = document.matrix.limit if not options.matrix or "matrix.limit" in asked else 0
    mode = MODES.get(name.strip().lower())
    if mode is None and "matrix.mode" in asked:
        words = (
            f"matrix mode {name!r} is unknown; use --set matrix.mode=fanout, random, sequential or rotate."
        )
        report.refuse("unknown_mode", words, "matrix.mode")
    elif mode is None:
        report.warn("unknown_mode", f"matrix mode {name!r} is unknown; fanout is taken.", "matrix.mode")
    return mode or "fanout", limit


def _warn_of_settings(document: PackDocument, rows: Sequence[RowPlan], report: Report) -> None:
    pipeline = document.pipeline
    if document.kind == IMAGE:
        _warn_of_models(document, rows, report)
    else:
        _warn_of_refused_words(document, rows, report)
    if pipeline.loop_type != "pipeline":
        words = f"pipeline.loop_type is {pipeline.loop_type!r}; loops repeat the whole pipeline."
        report.warn("no_effect", words, "pipeline.loop_type")
    if pipeline.seed_mode not in _SEED_MODES:
        words = f"pipeline.seed_mode {pipeline.seed_mode!r} is unknown; every repeat gets its own seed."
        report.warn("no_effect", words, "pipeline.seed_mode")


def _warn_of_models(document: PackDocument, rows: Sequence[RowPlan], report: Report) -> None:
    section = document.txt2img
    sets = {id(row.configs): row.configs for row in rows}.values()
    used = {config.document.txt2img.model.strip().lower() for configs in sets for config in configs}
    if used & {"", "none"}:
        words = "no checkpoint is named (txt2img.model); pictures come from whatever the server has loaded."
        report.warn("no_checkpoint", words, "txt2img.model")
    if section.refiner_checkpoint.strip() not in ("", "None") and not section.use_refiner:
        words = "a refiner is named but off; turn it on with --set txt2img.use_refiner=true."
        report.warn("no_effect", words, "txt2img.refiner_checkpoint")


def _warn_of_refused_words(document: PackDocument, rows: Sequence[RowPlan], report: Report) -> None:
    """With a guidance of 1 the model never looks at a negative prompt."""
    refused = document.film.negative_prompt.strip()
    ignored = any(
        config.document.film.cfg_scale == 1 and (refused or row.row.negative_text)
        for row in rows
        for config in row.configs
    )
    if ignored:
        words = f"{document.kind}.cfg_scale is 1, and then a negative prompt has no effect."
        report.warn("no_effect", words, f"{document.kind}.cfg_scale")


def _words(document: PackDocument, options: BuildOptions, configs: Sequence[PackDocument]) -> PackWords:
    """The global prompts are words of Stable Diffusion: films and edits get none of them."""
    if document.kind != IMAGE:
        setting = f"{document.kind}.negative_prompt"
        is_asked = any(path.removeprefix("preset_data.") == setting for path in options.overrides)
        source: Literal["pack", "override"] = "override" if is_asked else "pack"
        return PackWords("", "", document.film.negative_prompt, source, document.choices)
    asked = any(path.removeprefix("preset_data.") == "txt2img.negative_prompt" for path in options.overrides)
    return PackWords(
        global_positive=options.global_positive,
        global_negative=options.global_negative if document.pipeline.apply_global_negative_txt2img else "",
        pack_negative=document.txt2img.negative_prompt,
        pack_negative_source="override" if asked else "pack",
        choices=document.choices,
        stages=stage_words_of(configs, options.global_positive, options.global_negative),
    )


def _count(rows: Sequence[RowPlan], document: PackDocument, options: BuildOptions) -> BuildCounts:
    combinations = tuple(plan.variants.count for plan in rows)
    repeats = document.pipeline.loop_count * options.repeat
    sweeps = sweep_count(sweeps_of(document, options))
    total = sum(combinations) * sweeps * repeats
    return BuildCounts(
        rows=len(rows),
        combinations=combinations,
        sweeps=sweeps,
        repeats=repeats,
        images_per_record=document.pipeline.images_per_prompt,
        all_records=total,
        limit=options.limit,
    )
