"""What packs would make of a person's options, before anything is stored: counts, settings, some prompts.

Counts come from the plan alone, and of more than a few thousand records only those that are shown are built, so that a
hundred thousand are previewed as fast as ten. Submitting builds them all: `jobs.submitting.ordering`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jobs.building.builder import build_planned, records_at
from jobs.building.plan import BuildCounts, Plan
from jobs.building.sweeps import ConfigVariant
from jobs.errors import RecordProblem
from jobs.models import PackRevision
from jobs.packs.findings import PackWarning
from jobs.packs.kinds import IMAGE
from jobs.records.reading import AnyRecord
from jobs.submitting.ordering import OrderPlan, PackOrder, build_order
from jobs.submitting.preflight import Preflight, preflight
from jobs.submitting.refusals import too_many
from webui.kinds import count_results
from webui.words import count
from webui.work.parameters import EditParameters, I2VParameters

#: Up to so many records of a pack are all built, so that even an empty prompt among them is found here.
FULL_BUILD = 200
#: Up to so many records of an order are all built, to hold what they need against what nodes have.
PREFLIGHT_RECORDS = 5_000
#: Prompts shown of one pack; each further pack adds two, up to the most.
SAMPLES = 6
MAX_SAMPLES = 14
#: Different settings that a page lists one by one.
MAX_SETTINGS = 12


@dataclass(frozen=True, slots=True)
class SettingsLine:
    """Settings that some of the records have in common; `others` are checkpoints of later stages."""

    checkpoint: str
    others: tuple[str, ...]
    width_px: int
    height_px: int
    sampling: str
    stages: tuple[str, ...]
    kind: str = IMAGE
    records: int = 0


@dataclass(frozen=True, slots=True)
class SampleLine:
    """One record as it would be queued; `number` and `row` count from 1."""

    number: int
    pack: str
    row: int
    variant: str
    chosen: tuple[tuple[str, str], ...]
    settings: str
    seed: int
    positive: str
    negative: str
    pictures: tuple[str, ...] = ()
    """Names of those that a film or an edit begins with."""


@dataclass(frozen=True, slots=True)
class PackPreview:
    """What one pack makes. `factors` says in words why so many records; a pack with problems makes none."""

    pack_id: int
    name: str
    revision: int
    factors: str
    limited: bool
    records: int
    images: int
    problems: tuple[RecordProblem, ...]
    warnings: tuple[PackWarning, ...]


@dataclass(frozen=True, slots=True)
class OrderPreview:
    """What all packs make together; `settings` are at most `MAX_SETTINGS` lines, `more_settings` the rest."""

    packs: tuple[PackPreview, ...]
    records: int
    images: int
    results: str
    """What the records make, in words."""
    build_seed: int
    problems: tuple[RecordProblem, ...]
    models: tuple[tuple[str, str, int], ...]
    """Kind, checkpoint or model ("" where nobody names one), and how many records it draws."""
    settings: tuple[SettingsLine, ...]
    more_settings: int
    samples: tuple[SampleLine, ...]
    preflight: Preflight | None = None
    """None for more than `PREFLIGHT_RECORDS`, which only the submission checks, and where nothing can be built."""

    @property
    def of_pictures(self) -> bool:
        """Nothing of it is a film or an edit."""
        return all(kind == IMAGE for kind, _, _ in self.models)

    @property
    def can_submit(self) -> bool:
        return not self.problems and self.records > 0

    @property
    def warnings(self) -> tuple[tuple[str, PackWarning], ...]:
        """Pack and warning."""
        return tuple((pack.name, warning) for pack in self.packs for warning in pack.warnings)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A pack with its plan, limited to what the limit of the whole order leaves for it."""

    revision: PackRevision
    plan: Plan
    records: int
    problems: tuple[RecordProblem, ...]

    @property
    def images(self) -> int:
        return self.records * self.plan.counts.images_per_record


def preview(
    revisions: Sequence[PackRevision], order: OrderPlan, *, whole_check: bool = False
) -> OrderPreview:
    """Preview one submission of these revisions, as `order` plans them.

    `whole_check`: what nodes lack is looked for however many records there are.
    """
    planned = list(_judged(revisions, order))
    total = sum(pack.records for pack in planned)
    problems = [problem for pack in planned for problem in pack.problems] or too_many(total)
    found = None
    if total and not problems and (whole_check or total <= PREFLIGHT_RECORDS):
        made = build_order(order)
        problems = list(made.problems)
        found = None if problems else _preflight(made)
    settings: Counter[SettingsLine] = Counter()
    for pack in planned:
        settings.update(_settings(pack))
    models: Counter[tuple[str, str]] = Counter()
    for line, records in settings.items():
        models[line.kind, line.checkpoint] += records
    lines = [replace(line, records=records) for line, records in settings.most_common()]
    return OrderPreview(
        packs=tuple(_pack_preview(pack) for pack in planned),
        records=total,
        images=sum(pack.images for pack in planned),
        results=count_results(_results(planned)),
        build_seed=order.options.build_seed,
        problems=tuple(problems),
        models=tuple((kind, name, records) for (kind, name), records in models.most_common()),
        settings=tuple(lines[:MAX_SETTINGS]),
        more_settings=max(0, len(lines) - MAX_SETTINGS),
        samples=() if problems else tuple(_samples(planned, total)),
        preflight=found,
    )


def _preflight(order: PackOrder) -> Preflight:
    records = [record for made in order.good for record in made.records]
    return preflight(records, [digest for made in order.good for digest in made.hashes])


def _judged(revisions: Sequence[PackRevision], order: OrderPlan) -> Iterator[_Planned]:
    left = order.options.limit
    for revision, plan in zip(revisions, order.plans, strict=True):
        # A pack behind the limit is still judged, with one record that is then not counted.
        made = _judge(revision, plan.limited(left if left is None else max(left, 1)))
        if left is not None:
            made = made if left else replace(made, records=0)
            left -= made.records
        yield made


def _judge(revision: PackRevision, plan: Plan) -> _Planned:
    problems = plan.problems
    # The words of films and edits are judged beside everything else that is wrong.
    is_judged = not problems or plan.pack.kind != IMAGE
    if is_judged and plan.counts.records <= FULL_BUILD:
        problems = build_planned(plan).problems
    return _Planned(revision, plan, 0 if problems else plan.counts.records, problems)


def _pack_preview(pack: _Planned) -> PackPreview:
    counts = pack.plan.counts
    return PackPreview(
        pack_id=pack.revision.pack_id,
        name=pack.plan.source.pack_id,
        revision=pack.revision.number,
        factors=_factors(counts),
        limited=bool(pack.records) and pack.records != counts.all_records,
        records=pack.records,
        images=pack.images,
        problems=pack.problems,
        warnings=pack.plan.warnings,
    )


def _results(planned: Sequence[_Planned]) -> Counter[str]:
    """By kind."""
    found: Counter[str] = Counter()
    for pack in planned:
        found[pack.plan.pack.kind] += pack.images
    return found


def _factors(counts: BuildCounts) -> str:
    """`10 rows × 4 combinations × 3 repeats`: what multiplies, without what does not."""
    spread = sorted(set(counts.combinations)) or [0]
    each = f"{spread[0]:,}" if len(spread) == 1 else f"{spread[0]:,} to {spread[-1]:,}"
    parts = [count(counts.rows, "row")]
    parts += [f"{each} combinations"] if spread != [1] else []
    parts += [f"{counts.sweeps:,} sets of settings"] if counts.sweeps > 1 else []
    parts += [f"{counts.repeats:,} repeats"] if counts.repeats > 1 else []
    return " × ".join(parts)


def _settings(pack: _Planned) -> dict[SettingsLine, int]:
    """How many records have which settings, from the order of the fan-out alone: repeats run fastest, then configs."""
    found: Counter[SettingsLine] = Counter()
    repeats = pack.plan.counts.repeats
    lines: dict[int, SettingsLine] = {}
    left = pack.records
    for row in pack.plan.rows:
        each = len(row.configs) * repeats
        whole, rest = divmod(min(left, row.variants.count * each), each)
        left -= whole * each + rest
        for index, config in enumerate(row.configs):
            records = whole * repeats + min(max(rest - index * repeats, 0), repeats)
            if records:
                if id(config) not in lines:
                    lines[id(config)] = _settings_line(config)
                found[lines[id(config)]] += records
        if not left:
            break
    return found


def _settings_line(config: ConfigVariant) -> SettingsLine:
    if config.document.kind != IMAGE:
        return _film_line(config)
    section, first = config.document.txt2img, config.chain[0].txt2img
    stages = [stage for stage in config.chain if stage.enabled and stage.parameters is not None]
    found = [first.refiner_checkpoint]
    found += [getattr(stage.parameters, "checkpoint", "") for stage in stages]
    checkpoint = _named(section.model)
    return SettingsLine(
        checkpoint=checkpoint,
        others=tuple(dict.fromkeys(name for name in found if name and name != checkpoint)),
        width_px=first.width,
        height_px=first.height,
        sampling=f"{first.sampler} {first.scheduler}, {first.steps} steps, CFG {first.cfg_scale:g}"
        + (f", clip skip {section.clip_skip}" if section.clip_skip else ""),
        stages=tuple(
            f"{stage.stage} with hires fix" if stage.stage == "txt2img" and first.enable_hr else stage.stage
            for stage in stages
        ),
    )


def _film_line(config: ConfigVariant) -> SettingsLine:
    stage = config.chain[0]
    parameters = stage.parameters
    if not isinstance(parameters, I2VParameters | EditParameters):
        raise TypeError(f"stage {stage.stage} is neither a film nor an edit")
    sampling = f"{parameters.steps} steps, CFG {parameters.cfg_scale:g}"
    if isinstance(parameters, I2VParameters):
        sampling = f"{parameters.num_frames} frames at {parameters.fps} per second, {sampling}"
    else:
        sampling = f"{parameters.scheduler}, {sampling}"
    return SettingsLine(
        checkpoint=parameters.model,
        others=(),
        width_px=parameters.width,
        height_px=parameters.height,
        sampling=sampling,
        stages=(stage.stage,),
        kind=stage.stage,
    )


def _named(checkpoint: str) -> str:
    name = checkpoint.strip()
    return "" if name.lower() == "none" else name


def _samples(planned: Sequence[_Planned], total: int) -> Iterator[SampleLine]:
    """The first record, the last, and some evenly between."""
    wanted = min(total, MAX_SAMPLES, SAMPLES + 2 * (len(planned) - 1))
    places = sorted({round(turn * (total - 1) / max(wanted - 1, 1)) for turn in range(wanted)})
    start = 0
    for pack in planned:
        mine = [place - start for place in places if start <= place < start + pack.records]
        records = records_at(pack.plan, mine)
        for place, record in zip(mine, records, strict=True):
            yield _sample_line(start + place + 1, record)
        start += pack.records


def _sample_line(number: int, record: AnyRecord) -> SampleLine:
    parts = []
    if record.variant_total > 1:
        parts.append(f"variant {record.variant_index + 1:,} of {record.variant_total:,}")
    if record.batch_total > 1:
        parts.append(f"repeat {record.batch_index + 1:,} of {record.batch_total:,}")
    chance = record.randomization
    chosen = {**record.matrix_slot_values, **chance.wildcards, **chance.replacements}
    return SampleLine(
        number=number,
        pack=record.prompt_pack_id,
        row=record.prompt_pack_row_index + 1,
        variant=", ".join(parts),
        chosen=tuple(chosen.items()),
        settings="" if record.config_variant_label == "base" else record.config_variant_label,
        seed=record.seed,
        positive=record.positive_prompt,
        negative=record.negative_prompt,
        pictures=tuple(one.name or one.sha256[:12] for one in record.inputs),
    )
