"""From a pack's content and a person's options to records: pure and deterministic.

No clock, no database, no global chance: the same source and options give the same bytes and the same
hashes in any process. Order of fan-out: row, matrix combination, config sweep, batch repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from jobs.building.film_records import film_draft, inputs_of, words_refused
from jobs.building.layers import Filling, Layered
from jobs.building.plan import BuildCounts as BuildCounts
from jobs.building.plan import Plan, RowPlan, plan_build
from jobs.building.sweeps import ConfigVariant
from jobs.building.variants import Variant
from jobs.errors import RecordProblem
from jobs.packs.findings import PackWarning, Report
from jobs.packs.kinds import IMAGE
from jobs.packs.options import BuildOptions as BuildOptions
from jobs.packs.pack import parse_pack
from jobs.packs.sources import PackSource as PackSource
from jobs.packs.tags import to_prompt_words
from jobs.records.base import FrozenDict, Randomization, canonical_json, sha256_text
from jobs.records.reading import AnyRecord
from jobs.records.record import NormalizedJobRecord

BUILT_IN: Final = ("built-in", "none")
"""Words for no modules beside the checkpoint, in lower case."""


@dataclass(frozen=True, slots=True)
class Build:
    """The records that a plan makes, with their bytes and hashes; none at all where there are problems."""

    plan: Plan
    records: tuple[AnyRecord, ...]
    canonical: tuple[str, ...]
    hashes: tuple[str, ...]
    problems: tuple[RecordProblem, ...]

    @property
    def source(self) -> PackSource:
        return self.plan.source

    @property
    def options(self) -> BuildOptions:
        return self.plan.options

    @property
    def counts(self) -> BuildCounts:
        return self.plan.counts

    @property
    def warnings(self) -> tuple[PackWarning, ...]:
        return self.plan.warnings


def build(source: PackSource, options: BuildOptions) -> Build:
    """Read, plan and build a pack. Never raises for what a pack holds: `problems` says why it cannot be submitted."""
    return build_planned(plan_build(parse_pack(source), options))


def build_planned(plan: Plan) -> Build:
    """Everything that a plan makes. What is wrong with whole prompts is found only here: a matrix value may be empty.

    Films and edits are refused for their words and their settings in one answer.
    """
    records: tuple[AnyRecord, ...] = ()
    problems = plan.problems
    if plan.pack.kind != IMAGE and plan.counts.records <= plan.options.max_records:
        records = tuple(islice(_records(plan), plan.options.limit))
        problems += words_refused(plan, records)
    elif not problems:
        records = tuple(islice(_records(plan), plan.options.limit))
        problems = _empty_prompts(records, plan.source.pack_id)
    if problems:
        records = ()
    canonical = tuple(map(canonical_json, records))
    return Build(plan, records, canonical, tuple(map(sha256_text, canonical)), problems)


def records_at(plan: Plan, places: Sequence[int]) -> Iterator[AnyRecord]:
    """Some of the records that `build_planned` would make, without making the others.

    `places` count from 0 among all records and rise; the plan must have no problems.
    """
    drafts = _Drafts(plan)
    start = 0
    for row_plan in plan.rows:
        each = len(row_plan.configs) * plan.counts.repeats
        end = start + row_plan.variants.count * each
        wanted: dict[int, set[int]] = {}
        for place in places:
            if start <= place < end:
                turn, offset = divmod(place - start, each)
                wanted.setdefault(turn, set()).add(offset)
        start = end
        drawn = islice(_drawn(row_plan, plan.options), max(wanted, default=-1) + 1)
        for index, variant in enumerate(drawn):
            if index in wanted:
                made = _of_variant(plan, drafts, row_plan, index, variant)
                yield from (record for offset, record in enumerate(made) if offset in wanted[index])


def _records(plan: Plan) -> Iterator[AnyRecord]:
    drafts = _Drafts(plan)
    for row_plan in plan.rows:
        for index, variant in enumerate(_drawn(row_plan, plan.options)):
            yield from _of_variant(plan, drafts, row_plan, index, variant)


class _Drafts:
    """What records have in common, made once for each set of settings."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._revision = plan.source.sha256
        self._made: dict[int, list[AnyRecord]] = {}

    def of(self, configs: tuple[ConfigVariant, ...]) -> list[AnyRecord]:
        if id(configs) not in self._made:
            draft = _draft if self._plan.pack.kind == IMAGE else film_draft
            self._made[id(configs)] = [draft(self._plan, self._revision, config) for config in configs]
        return self._made[id(configs)]


def _of_variant(
    plan: Plan,
    drafts: _Drafts,
    row_plan: RowPlan,
    index: int,
    variant: Variant,
) -> Iterator[AnyRecord]:
    """The records of one variant of a row: every config variant, every repeat. `index` is its turn."""
    configs, row = row_plan.configs, row_plan.row.index
    sweeps = len(configs)
    fields = {"prompt_pack_row_index": row, "variant_total": row_plan.variants.count * sweeps}
    fields |= _prompt_fields(plan.options, plan.pack.kind, row_plan, variant, row_plan.variants.total)
    for sweep, (config, draft) in enumerate(zip(configs, drafts.of(configs), strict=True)):
        place = (row, variant.combination, sweep)
        fields["seed"] = config.seeds.concrete(*place, 0)
        if plan.pack.kind == IMAGE:
            fields["subseed"] = config.subseeds.concrete(*place, 0, use="subseed")
        fields["variant_index"] = index * sweeps + sweep
        first = draft.model_copy(update=fields)
        yield first
        yield from _repeats(first, config, place)


def _repeats(first: AnyRecord, config: ConfigVariant, place: tuple[int, int, int]) -> Iterator[AnyRecord]:
    """The further batches of a record: only their numbers and seeds differ."""
    for batch in range(1, first.batch_total):
        update = {"batch_index": batch, "seed": config.seeds.concrete(*place, batch)}
        if config.subseeds.seed < 0:
            update["subseed"] = config.subseeds.concrete(*place, batch, use="subseed")
        yield first.model_copy(update=update)


def _prompt_fields(
    options: BuildOptions, kind: str, row_plan: RowPlan, variant: Variant, combinations: int
) -> dict[str, Any]:
    """The fields that a variant of a row decides, whatever its settings are."""
    layered = _fill(row_plan, variant)
    if kind == IMAGE:
        own = {
            "positive_embeddings": layered.positive_embeddings,
            "negative_embeddings": layered.negative_embeddings,
            "lora_tags": layered.loras,
            "stage_prompts": layered.stage_prompts,
        }
    else:
        own = inputs_of(row_plan.row)
    return own | {
        "positive_prompt": layered.positive,
        "negative_prompt": layered.negative,
        "prompt_layers": layered.layers,
        "matrix_slot_values": FrozenDict(variant.values),
        "randomization": Randomization(
            mode=row_plan.variants.matrix.mode,
            build_seed=options.build_seed,
            slots=tuple(variant.values),
            combination=variant.combination,
            combinations=combinations,
            wildcards=variant.wildcards,
            replacements=variant.replacements,
        ),
    }


def _drawn(row_plan: RowPlan, options: BuildOptions) -> Iterator[Variant]:
    """The row's variants; of more than a submission can hold, only as many as it asks for."""
    most = options.max_records
    if row_plan.variants.count > most and options.limit is not None:
        most = min(most, options.limit)
    return row_plan.variants.draw(options.build_seed, row_plan.row.index, most)


def _draft(plan: Plan, revision: str, config: ConfigVariant) -> NormalizedJobRecord:
    """What every record of a config variant has in common; it lacks the fields of a row until it is copied."""
    section, pipeline = config.document.txt2img, config.document.pipeline
    first = config.chain[0].txt2img
    return NormalizedJobRecord.model_construct(
        schema_version=2,
        prompt_pack_id=plan.source.pack_id,
        prompt_pack_name=plan.pack.title,
        pack_revision=revision,
        stage_chain=config.chain,
        subseed_strength=section.subseed_strength,
        cfg_scale=first.cfg_scale,
        width=first.width,
        height=first.height,
        steps=first.steps,
        sampler=first.sampler,
        scheduler=first.scheduler,
        clip_skip=section.clip_skip or None,
        base_model=_unless_none(section.model),
        vae=_unless_none(section.vae),
        modules=_modules(section.forge_additional_modules),
        loop_type="pipeline",
        loop_count=pipeline.loop_count,
        images_per_prompt=pipeline.images_per_prompt,
        config_variant_label=config.label,
        batch_index=0,
        batch_total=plan.counts.repeats,
        run_mode="QUEUE",
        queue_source=plan.options.queue_source,
    )


def _fill(row_plan: RowPlan, variant: Variant) -> Layered:
    return row_plan.template.fill(
        Filling(
            {token: to_prompt_words(variant.values[slot]) for token, slot in row_plan.slot_of_token.items()},
            {token: to_prompt_words(value) for token, value in variant.wildcards.items()},
            {search: to_prompt_words(value) for search, value in variant.replacements.items()},
        )
    )


def _empty_prompts(records: Iterable[AnyRecord], pack: str) -> tuple[RecordProblem, ...]:
    """Judge the layered prompts of every record, each row once."""
    report = Report(pack)
    told: set[tuple[str, int]] = set()
    for record in records:
        row = record.prompt_pack_row_index + 1
        if not record.positive_prompt.strip() and ("empty_positive", row) not in told:
            told.add(("empty_positive", row))
            report.refuse("empty_positive", "the positive prompt is empty; write what to draw.", row=row)
        if not record.negative_prompt.strip() and ("empty_negative", row) not in told:
            told.add(("empty_negative", row))
            words = "the negative prompt is empty; add a neg: line or set a global negative prompt."
            report.refuse("empty_negative", words, row=row)
    return tuple(report.problems)


def _unless_none(name: str) -> str:
    return "" if name.strip().lower() == "none" else name.strip()


def _modules(text: str) -> tuple[str, ...] | None:
    """Names with commas between; "Built-in" is a choice of none, and "" is no choice."""
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    if len(names) == 1 and names[0].lower() in BUILT_IN:
        return ()
    return names or None
