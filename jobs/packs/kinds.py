"""Which sections a pack's settings have, by the kind of work that the pack asks for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from jobs.packs.film_sections import EditSection, FilmPipelineSection, I2VSection
from jobs.packs.findings import Report
from jobs.packs.later_sections import ADetailerSection, Img2ImgSection, UpscaleSection
from jobs.packs.options import JsonScalar
from jobs.packs.sections import MatrixSection, PipelineSection, RandomizationSection, Section, Txt2ImgSection
from jobs.records.stage_config import STAGES, WORKER_STAGES

IMAGE: Final = "image"

_SHARED: Final[Mapping[str, type[Section]]] = {"matrix": MatrixSection, "randomization": RandomizationSection}

SECTIONS: Final[Mapping[str, type[Section]]] = {
    "txt2img": Txt2ImgSection,
    "img2img": Img2ImgSection,
    "adetailer": ADetailerSection,
    "upscale": UpscaleSection,
    "pipeline": PipelineSection,
    **_SHARED,
}
"""Of packs of pictures."""
_OF_KIND: Final[Mapping[str, Mapping[str, type[Section]]]] = {
    IMAGE: SECTIONS,
    "i2v": {"i2v": I2VSection, "pipeline": FilmPipelineSection, **_SHARED},
    "edit": {"edit": EditSection, "pipeline": FilmPipelineSection, **_SHARED},
}
ALL_STAGES: Final = (*STAGES, *WORKER_STAGES)
PRESET_SECTIONS: Final = (*ALL_STAGES, "pipeline", "randomization")
"""What `preset_data` holds; each kind reads its own."""

WORDS_OF_KIND: Final[Mapping[str, str]] = {IMAGE: "pictures", "i2v": "films", "edit": "edits"}
"""What a pack of this kind makes, for sentences."""


def sections_of(kind: str) -> Mapping[str, type[Section]]:
    return _OF_KIND[kind]


def stages_of(kind: str) -> tuple[str, ...]:
    """The stages that records of this kind have."""
    return STAGES if kind == IMAGE else (kind,)


def own_path(path: str, kind: str = IMAGE) -> str:
    """The path of a setting under its own name: `preset_data.txt2img.cfg` is `txt2img.cfg_scale`."""
    section, _, key = path.removeprefix("preset_data.").removeprefix("pack_data.").partition(".")
    read = sections_of(kind).get(section)
    return f"{section}.{read.ALIASES.get(key, key) if read else key}"


def split_overrides(
    overrides: Mapping[str, JsonScalar], kind: str, report: Report
) -> dict[str, dict[str, JsonScalar]]:
    """Overrides by section; unknown paths become problems that name the nearest known one.

    Switches of stages that nobody knows are under `pipeline*`.
    """
    sections = sections_of(kind)
    split: dict[str, dict[str, JsonScalar]] = {}
    for path, value in overrides.items():
        section, _, key = path.removeprefix("preset_data.").removeprefix("pack_data.").partition(".")
        if _is_setting(sections, section, key):
            split.setdefault(section, {})[key] = value
        elif kind == IMAGE and section == "pipeline" and key.endswith("_enabled"):
            split.setdefault(section + "*", {})[key] = value
        else:
            report.refuse("unknown_setting", f"{path} is {_unknown(path, section, key, kind)}", path)
    return split


def _is_setting(sections: Mapping[str, type[Section]], section: str, key: str) -> bool:
    read = sections.get(section)
    return read is not None and (key in read.model_fields or key in read.ALIASES)


def _unknown(path: str, section: str, key: str, kind: str) -> str:
    """Why a path is none, and what was meant."""
    own = sections_of(kind)
    others = (other for other, sections in _OF_KIND.items() if _is_setting(sections, section, key))
    other = next(others, None)
    if other is not None and section not in own:
        return f"a setting of {WORDS_OF_KIND[other]}; this pack makes {WORDS_OF_KIND[kind]}."
    known = [f"{name}.{known}" for name, read in own.items() for known in read.model_fields]
    near = difflib.get_close_matches(path, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"not a known setting.{hint}"
