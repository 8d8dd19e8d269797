"""The JSON beside a pack's text: the unified layout (`pack_data`, `preset_data`) and sections at the root.

Reading never refuses what can be read: what is unknown or cannot be read becomes a warning and its default counts;
a problem that stops a submission is only what would make another picture, and what a person has just asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jobs.packs.film_sections import EditSection, FilmPipelineSection, FilmSection, I2VSection
from jobs.packs.findings import Report
from jobs.packs.json_text import parse_document as parse_document
from jobs.packs.json_text import unclean_path
from jobs.packs.kinds import (
    ALL_STAGES,
    IMAGE,
    WORDS_OF_KIND,
    sections_of,
    split_overrides,
    stages_of,
)
from jobs.packs.kinds import PRESET_SECTIONS as PRESET_SECTIONS
from jobs.packs.kinds import SECTIONS as SECTIONS
from jobs.packs.kinds import own_path as own_path
from jobs.packs.later_sections import ADetailerSection, Img2ImgSection, UpscaleSection
from jobs.packs.matrix import Slot
from jobs.packs.matrix_slots import read_slots
from jobs.packs.options import JsonScalar
from jobs.packs.randomization import PromptChoices, read_block
from jobs.packs.row_settings import RowSettings, read_row_settings
from jobs.packs.section_reader import S, is_on, read_section
from jobs.packs.sections import (
    IDLE_SECTIONS,
    OPTIONAL_SECTIONS,
    MatrixSection,
    PackSection,
    PipelineSection,
    RandomizationSection,
    Txt2ImgSection,
)
from jobs.packs.values import shown
from jobs.records.stage_config import STAGES

ROOT_PACK_KEYS = ("name", "version", "slots", "matrix")
"""What the older layout keeps beside the sections, and what belongs to a pack alone."""


@dataclass(frozen=True, slots=True)
class PackDocument:
    """The JSON of a pack, merged with a person's overrides, a preset and defaults: every setting has its value.

    Settings of another kind than the pack's have their defaults, and nobody looks at them.
    """

    title: str
    slots: Mapping[int, Mapping[str, Any]]
    txt2img: Txt2ImgSection
    img2img: Img2ImgSection
    adetailer: ADetailerSection
    upscale: UpscaleSection
    pipeline: PipelineSection
    matrix: MatrixSection
    matrix_slots: tuple[Slot, ...]
    choices: PromptChoices
    sweeps: Mapping[str, tuple[JsonScalar, ...]]
    row_settings: RowSettings
    kind: str = IMAGE
    i2v: I2VSection = field(default_factory=I2VSection)
    edit: EditSection = field(default_factory=EditSection)

    @property
    def film(self) -> FilmSection:
        """The settings of a film or an edit. Raises LookupError for a pack of pictures."""
        return {"i2v": self.i2v, "edit": self.edit}[self.kind]


def read_document(
    data: Mapping[str, Any],
    overrides: Mapping[str, JsonScalar],
    report: Report,
    preset: Mapping[str, Any] | None = None,
    kind: str = IMAGE,
) -> PackDocument:
    """Read both layouts into the one schema. Never raises; `report` gets what is odd or wrong.

    `preset` is another document: its settings hold where the pack has none of its own. `kind` is what the pack makes.
    """
    pack_data, settings = _halves(data, report)
    asked = split_overrides(overrides, kind, report)
    own_matrix = _object(pack_data.pop("matrix", None), "pack_data.matrix", report)
    sweeps = _sweeps(pack_data.pop("sweeps", None), report)
    row_settings = read_row_settings(pack_data.pop("row_settings", None), kind, report)
    slots = _slot_objects(pack_data.pop("slots", None), report)
    title = read_section(PackSection, "pack_data", pack_data, {}, report).name
    own = _settings_sections(settings, report, kind)
    below = _settings_sections(_halves(preset or {}, report)[1], report, kind, is_preset=True)
    if kind == IMAGE:
        flags = {
            **below["pipeline"],
            **own["pipeline"],
            **asked.get("pipeline", {}),
            **asked.pop("pipeline*", {}),
        }
        _check_stages(flags, report)
    matrix, choices = _matrix_that_counts(
        own_matrix, own["randomization"] or below["randomization"], asked, report
    )
    matrix_slots = read_slots(matrix.pop("slots", None), "matrix.slots", report)

    def read(kind: type[S], name: str, *, is_used: bool = True) -> S:
        given = asked.get(name, {})
        return read_section(kind, name, own[name], given, report, preset=below[name], is_used=is_used)

    shared = partial(
        PackDocument,
        title=title,
        slots=slots,
        matrix_slots=matrix_slots,
        choices=choices,
        sweeps=sweeps,
        row_settings=row_settings,
    )
    if kind != IMAGE:
        return shared(
            txt2img=Txt2ImgSection(),
            img2img=Img2ImgSection(),
            adetailer=ADetailerSection(),
            upscale=UpscaleSection(),
            pipeline=read(FilmPipelineSection, "pipeline").as_pipeline(),
            kind=kind,
            i2v=read(I2VSection, "i2v") if kind == "i2v" else I2VSection(),
            edit=read(EditSection, "edit") if kind == "edit" else EditSection(),
            matrix=read_section(MatrixSection, "matrix", matrix, asked.get("matrix", {}), report),
        )
    pipeline = read(PipelineSection, "pipeline")
    adetailer = read(ADetailerSection, "adetailer", is_used=pipeline.adetailer_enabled)
    switches = {*asked.get("pipeline", {}), *asked.get("adetailer", {})}
    pipeline = _with_work(pipeline, adetailer, switches, report)
    return shared(
        txt2img=_refined(read(Txt2ImgSection, "txt2img"), asked.get("txt2img", {}), report),
        img2img=read(Img2ImgSection, "img2img", is_used=pipeline.img2img_enabled),
        adetailer=adetailer,
        upscale=read(UpscaleSection, "upscale"),
        pipeline=pipeline,
        matrix=read_section(MatrixSection, "matrix", matrix, asked.get("matrix", {}), report),
    )


def _refined(section: Txt2ImgSection, asked: Mapping[str, JsonScalar], report: Report) -> Txt2ImgSection:
    """Without a refiner that a file turns on and does not name, or that begins at no step between."""
    if not section.use_refiner or any(Txt2ImgSection.ALIASES.get(key, key) in _REFINER for key in asked):
        return section
    if section.refiner_checkpoint.strip().lower() in ("", "none"):
        words = "the refiner is on, but names no checkpoint; it is left out."
    elif not section.refiner_switch_steps and not 0.01 <= section.refiner_switch_at <= 0.99:
        words = f"txt2img.refiner_switch_at is {section.refiner_switch_at:g}, not 0.01-0.99; the refiner is left out."
    else:
        return section
    report.warn("no_refiner", words, "txt2img.use_refiner")
    return section.model_copy(update={"use_refiner": False})


def _with_work(
    pipeline: PipelineSection, adetailer: ADetailerSection, asked: set[str], report: Report
) -> PipelineSection:
    """Without an ADetailer that a file turns on while both its passes are off."""
    idle = pipeline.adetailer_enabled and not (adetailer.face_enabled or adetailer.hand_enabled)
    if not idle or asked & {"adetailer_enabled", "face_enabled", "hand_enabled"}:
        return pipeline
    words = "adetailer is on, but its face pass and its hand pass are off; the stage is left out."
    report.warn("no_pass", words, "adetailer.face_enabled")
    return pipeline.model_copy(update={"adetailer_enabled": False})


_REFINER = frozenset({"use_refiner", "refiner_checkpoint", "refiner_switch_at", "refiner_switch_steps"})


def slots_of(data: Mapping[str, Any]) -> Mapping[int, Mapping[str, Any]]:
    """The rows that the JSON has of its own, by their place in it, counted from 1.

    What is wrong with them is for `read_document` to report.
    """
    unheard = Report("")
    return _slot_objects(_halves(data, unheard)[0].get("slots"), unheard)


def _settings_sections(
    settings: dict[str, Any], report: Report, kind: str, *, is_preset: bool = False
) -> dict[str, dict[str, Any]]:
    """The sections of this kind; those of other kinds are told, unless it is a preset, which may serve several."""
    sections = {
        name: _object(settings.pop(name, None), name, report, refused=name == stages_of(kind)[0])
        for name in PRESET_SECTIONS
        if name in sections_of(kind)
    }
    for name in ALL_STAGES:
        if settings.pop(name, None) and not is_preset:
            words = f"{name} is no section of a pack that makes {WORDS_OF_KIND[kind]}; it is ignored."
            report.warn("other_kind", words, name)
    _warn_of_rest(settings, report)
    return sections


def _matrix_that_counts(
    own: dict[str, Any],
    block: Mapping[str, Any],
    asked: Mapping[str, Mapping[str, JsonScalar]],
    report: Report,
) -> tuple[dict[str, Any], PromptChoices]:
    """The pack's own matrix where it is enabled, else that of an enabled randomization block."""
    switch = {"enabled": block.get("enabled")}
    enabled = read_section(
        RandomizationSection, "randomization", switch, asked.get("randomization", {}), report
    ).enabled
    if not enabled:
        return own, PromptChoices()
    if is_on(own.get("enabled")):
        words = "the pack's matrix replaces the randomization block, which does not count."
        report.warn("randomization_replaced", words, "randomization")
        return own, PromptChoices()
    counting = read_block(block, report)
    return dict(counting.matrix) or own, counting.choices


def _halves(data: Mapping[str, Any], report: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    unclean = unclean_path(data)
    if unclean:
        report.refuse(
            "unclean_text", f"the JSON's {unclean} holds a character that no request can carry.", unclean
        )
        return {}, {}
    rest = dict(data)
    if "pack_data" in rest or "preset_data" in rest:
        pack_data = _object(rest.pop("pack_data", None), "pack_data", report, refused=True)
        preset = _object(rest.pop("preset_data", None), "preset_data", report, refused=True)
        for key in rest:
            report.warn("unknown_key", f"{key} is not a known key; it is ignored.", key)
        return pack_data, preset
    pack_data = {key: rest.pop(key) for key in ROOT_PACK_KEYS if key in rest}
    return pack_data, rest


def _object(value: object, where: str, report: Report, *, refused: bool = False) -> dict[str, Any]:
    """An object of a file; what is none, and says something, is told, or refused where it decides the picture."""
    if isinstance(value, dict):
        return dict(value)
    if value:
        words = f"{where} is {shown(value)}: an object {{ ... }} is expected"
        if refused:
            report.refuse("wrong_value", f"{words}.", where)
        else:
            report.warn("wrong_value", f"{words}; it is ignored.", where)
    return {}


def _sweeps(raw: object, report: Report) -> dict[str, tuple[JsonScalar, ...]]:
    """`pack_data.sweeps`: settings of stages, each with the list of its values."""
    sweeps: dict[str, tuple[JsonScalar, ...]] = {}
    for path, values in _object(raw, "pack_data.sweeps", report, refused=True).items():
        if isinstance(values, list) and not any(isinstance(value, list | dict) for value in values):
            sweeps[path] = tuple(values)
        else:
            words = f"pack_data.sweeps: {path} is {shown(values)}: a list of values is expected."
            report.refuse("wrong_value", words, path)
    return sweeps


def _slot_objects(raw: object, report: Report) -> Mapping[int, Mapping[str, Any]]:
    """The rows of the JSON; a text alone is a row's, and an object counts by its values."""
    rows = list(raw.values()) if isinstance(raw, dict) else raw
    if not rows:
        return {}
    if not isinstance(rows, list):
        words = f"pack_data.slots is {shown(raw)}: a list is expected."
        report.refuse("wrong_value", words, "pack_data.slots")
        return {}
    found: dict[int, Mapping[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            found[number] = row
        elif isinstance(row, str):
            found[number] = {"text": row}
        else:
            words = f"slot {number} of the JSON is {shown(row)}, no row; it is left out."
            report.warn("malformed_slot", words, "pack_data.slots")
    return found


def _warn_of_rest(preset: Mapping[str, Any], report: Report) -> None:
    for key, value in preset.items():
        if key in OPTIONAL_SECTIONS:
            if isinstance(value, dict) and value.get("enabled"):
                report.warn("no_effect", f"section {key} is on; it has no effect here.", key)
        elif key not in IDLE_SECTIONS:
            report.warn("unknown_key", f"{key} is not a known section or setting; it is ignored.", key)


def _check_stages(flags: Mapping[str, object], report: Report) -> None:
    """Refuse stages that are on and that do not exist, by name."""
    for key, value in flags.items():
        stage, suffix = key.removesuffix("_enabled"), key.endswith("_enabled")
        if suffix and stage not in STAGES and is_on(value):
            words = (
                f"unknown stage {stage!r} is on; stages are {', '.join(STAGES)}; "
                f"turn it off with --set pipeline.{key}=false."
            )
            report.refuse("unknown_stage", words, f"pipeline.{key}")
