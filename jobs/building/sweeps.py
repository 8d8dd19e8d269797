"""The config variants of a build: one set of settings, or one per combination of swept values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from jobs.building.film_stages import SNAPPED, film_chain
from jobs.building.seeds import SeedPlan
from jobs.building.stages import build_chain
from jobs.packs.document import PackDocument
from jobs.packs.findings import Report
from jobs.packs.kinds import IMAGE, own_path, stages_of
from jobs.packs.matrix import product as number_of
from jobs.packs.options import BuildOptions, JsonScalar
from jobs.packs.pack import Pack
from jobs.packs.row_settings import is_prompt
from jobs.records.stage_config import StageConfig

BASE_LABEL = "base"


@dataclass(frozen=True, slots=True)
class ConfigVariant:
    """One set of settings with the stages and seeds that follow from it."""

    label: str
    document: PackDocument
    chain: tuple[StageConfig, ...]
    seeds: SeedPlan
    subseeds: SeedPlan


def sweeps_of(document: PackDocument, options: BuildOptions) -> dict[str, tuple[JsonScalar, ...]]:
    """The pack's sweeps under a person's, by path: the order in which they are written does not matter."""
    merged = {**document.sweeps, **options.sweeps}
    return {path: tuple(dict.fromkeys(merged[path])) for path in sorted(merged)}


def sweep_count(sweeps: Mapping[str, Sequence[JsonScalar]]) -> int:
    return number_of(len(values) for values in sweeps.values())


def build_variants(pack: Pack, options: BuildOptions, report: Report) -> tuple[ConfigVariant, ...]:
    """Every variant, the last path varying fastest; what is wrong in one of them goes to `report` once."""
    document = pack.document
    sweeps = sweeps_of(document, options)
    for path in sweeps:
        if path.partition(".")[0] not in stages_of(pack.kind) or is_prompt(path):
            report.refuse("unknown_sweep", f"{path} cannot be swept; settings of a stage can.", path)
        if not sweeps[path]:
            report.refuse("unknown_sweep", f"the sweep of {path} has no values.", path)
    if not sweeps or sweep_count(sweeps) > options.max_records:
        return (_variant(BASE_LABEL, options, document, report),)
    variants = []
    for values in product(*sweeps.values()):
        chosen = dict(zip(sweeps, values, strict=True))
        label = ", ".join(f"{path.partition('.')[2]}={_shown(value)}" for path, value in chosen.items())
        own = Report(pack.source.pack_id)
        swept = pack.settings({**options.overrides, **chosen}, own)
        variants.append(_variant(label, options, swept, own))
        report.problems += [problem for problem in own.problems if problem not in report.problems]
        report.warnings += [
            warning for warning in own.warnings if warning.code == SNAPPED and warning not in report.warnings
        ]
    return tuple(variants)


def variants_of_row(
    common: Sequence[ConfigVariant],
    settings: Mapping[str, JsonScalar],
    pack: Pack,
    options: BuildOptions,
    report: Report,
) -> tuple[ConfigVariant, ...]:
    """The same variants with the settings of one row: over the pack's, under what a person asks for or sweeps."""
    asked = {own_path(path, pack.kind) for path in (*options.overrides, *sweeps_of(pack.document, options))}
    updates: dict[str, dict[str, JsonScalar]] = {}
    for path, value in settings.items():
        if path not in asked:
            section, _, key = path.partition(".")
            updates.setdefault(section, {})[key] = value
    if not updates:
        return tuple(common)
    variants = []
    for variant in common:
        sections = {
            name: getattr(variant.document, name).model_copy(update=own) for name, own in updates.items()
        }
        document = replace(variant.document, **sections)
        variants.append(_variant(variant.label, options, document, report))
    return tuple(variants)


def _shown(value: JsonScalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _variant(label: str, options: BuildOptions, document: PackDocument, report: Report) -> ConfigVariant:
    pipeline = document.pipeline
    fixed = pipeline.seed_mode == "fixed"
    if document.kind != IMAGE:
        chain = film_chain(document, report)
        seeds = SeedPlan(options.build_seed, document.film.seed, 1, fixed)
        return ConfigVariant(label, document, chain, seeds, SeedPlan(options.build_seed, 0, 1, fixed))
    section = document.txt2img
    _check_ranges(document, report)
    return ConfigVariant(
        label,
        document,
        build_chain(document, report),
        SeedPlan(options.build_seed, section.seed, pipeline.images_per_prompt, fixed),
        SeedPlan(options.build_seed, section.subseed, pipeline.images_per_prompt, fixed),
    )


def _check_ranges(document: PackDocument, report: Report) -> None:
    section = document.txt2img
    if section.clip_skip and not 1 <= section.clip_skip <= 12:
        words = f"txt2img.clip_skip {section.clip_skip} is outside 1-12."
        report.refuse("out_of_range", words, "txt2img.clip_skip")
    if not 0 <= section.subseed_strength <= 1:
        words = f"txt2img.subseed_strength {section.subseed_strength:g} is outside 0-1."
        report.refuse("out_of_range", words, "txt2img.subseed_strength")
