"""The one schema of a pack's settings and the one set of defaults. Reading JSON into it is in `document`.

Names are those of the packs; `ALIASES` are other names of the same setting, the earlier counting where two
disagree; `SPELLINGS` are other words for a setting's values, in lower case. `INERT` are keys that packs carry and
that change nothing here, each with the values that mean "off": any other value is a warning. `MEANING` are the settings
that decide what the picture shows: one that a file has and nobody can read is refused, any other takes its default.
`SWITCHES` name the settings without which another one decides nothing. `LISTS` are texts of names with commas between,
which a file may also write as a list. `REMEDY` says what to do about a setting that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from jobs.packs.options import CleanText
from jobs.records.record import MAX_SEED

ANYTHING: Final = None
"""In `INERT`: whatever the value is, it says nothing about a request."""

SAME: Final = ("none", "use same sampler", "use same scheduler", "inherit")
"""Words for no sampler or scheduler of its own, in lower case."""
SWITCH: Final = {"enabled": "true", "disabled": "false"}
"""Words for a switch beside those that every one takes."""

Inert = Mapping[str, tuple[Any, ...] | None]


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def _not_container(value: object) -> object:
    if isinstance(value, dict | list):
        raise ValueError("expected text")
    return value


MAX_WHOLE: Final = 2**31 - 1
"""Beyond every number that a setting may be, so that what is counted with it can be written."""

Whole = Annotated[int, BeforeValidator(_not_bool), Field(ge=-MAX_WHOLE, le=MAX_WHOLE)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Text = Annotated[CleanText, BeforeValidator(_not_container)]
Name = Annotated[Text, Field(max_length=100)]
Seed = Annotated[int, BeforeValidator(_not_bool), Field(ge=-1, le=MAX_SEED)]


class Section(BaseModel):
    """One section of settings; ranges that a WebUI judges are checked on the built stage, not here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)

    ALIASES: ClassVar[Mapping[str, str]] = {}
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    INERT: ClassVar[Inert] = {}
    MEANING: ClassVar[frozenset[str]] = frozenset()
    SWITCHES: ClassVar[Mapping[str, str]] = {}
    LISTS: ClassVar[frozenset[str]] = frozenset()
    REMEDY: ClassVar[str] = "use --set {setting}=VALUE"


class Txt2ImgSection(Section):
    """`seed` -1 draws one at build; `scheduler` "" is the suffix of an old sampler name, else "Automatic".

    The refiner is on with `use_refiner`; `refiner_switch_steps` above 0 counts instead of `refiner_switch_at`.
    `hr_prompt` and `hr_negative_prompt` stand instead of the row's in the second pass. `clip_skip` 0 asks for
    none: the WebUI keeps its own. `forge_additional_modules` are names with commas between (Forge and Forge Neo), ""
    leaves the server's, and "Built-in" asks for those inside of the checkpoint.
    """

    model: Annotated[Text, Field(max_length=300)] = ""
    vae: Annotated[Text, Field(max_length=300)] = ""
    forge_additional_modules: Annotated[Text, Field(max_length=1000)] = ""
    sampler_name: Name = "Euler a"
    scheduler: Name = ""
    steps: Whole = 20
    cfg_scale: Number = 7.0
    width: Whole = 512
    height: Whole = 512
    clip_skip: Whole = 0
    seed: Seed = -1
    subseed: Seed = -1
    subseed_strength: Number = 0.0
    negative_prompt: Text = ""
    enable_hr: bool = False
    hr_scale: Number = 2.0
    hr_upscaler: Text = "Latent"
    hr_second_pass_steps: Whole = 0
    hr_resize_x: Whole = 0
    hr_resize_y: Whole = 0
    denoising_strength: Number = 0.7
    hr_sampler_name: Text = ""
    hr_scheduler: Text = ""
    hr_prompt: Text = ""
    hr_negative_prompt: Text = ""
    use_refiner: bool = False
    refiner_checkpoint: Annotated[Text, Field(max_length=300)] = ""
    refiner_switch_at: Number = 0.8
    refiner_switch_steps: Annotated[Whole, Field(ge=0)] = 0

    ALIASES: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "base_model": "model",
        "checkpoint": "model",
        "sd_model": "model",
        "sd_model_checkpoint": "model",
        "vae_name": "vae",
        "sd_vae": "vae",
        "additional_modules": "forge_additional_modules",
        "modules": "forge_additional_modules",
        "sampler": "sampler_name",
        "scheduler_name": "scheduler",
        "cfg": "cfg_scale",
        "hires_steps": "hr_second_pass_steps",
        "hires_enabled": "enable_hr",
        "enable_hires": "enable_hr",
        "hires_scale": "hr_scale",
        "hires_upscaler": "hr_upscaler",
        "hr_upscaler_name": "hr_upscaler",
        "hires_denoising_strength": "denoising_strength",
        "hires_denoise": "denoising_strength",
        "hr_sampler": "hr_sampler_name",
        "hires_sampler_name": "hr_sampler_name",
        "hires_scheduler": "hr_scheduler",
        "hires_prompt": "hr_prompt",
        "hires_negative_prompt": "hr_negative_prompt",
        "refiner_enabled": "use_refiner",
        "refiner_model_name": "refiner_checkpoint",
        "refiner_model": "refiner_checkpoint",
        "refiner_switch": "refiner_switch_at",
    }
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {"scheduler": dict.fromkeys(SAME, "")}
    SWITCHES: ClassVar[Mapping[str, str]] = {
        "hr_prompt": "enable_hr",
        "hr_negative_prompt": "enable_hr",
        "refiner_checkpoint": "use_refiner",
    }
    INERT: ClassVar[Inert] = {
        "hypernetwork": ("None", "none", ""),
        "hypernetwork_strength": ANYTHING,
        "face_restoration_enabled": (False,),
        "face_restoration_model": ANYTHING,
        "face_restoration_weight": ANYTHING,
        "restore_faces": (False,),
        "tiling": (False,),
        "styles": ([],),
        "batch_size": (1,),
        "n_iter": (1,),
        "hires_use_base_model": (True,),
        "hr_checkpoint_name": ("Use base model", "Use same checkpoint", "None", ""),
        "seed_resize_from_h": (-1, 0),
        "seed_resize_from_w": (-1, 0),
    }
    MEANING: ClassVar[frozenset[str]] = frozenset(
        {
            "model",
            "vae",
            "forge_additional_modules",
            "negative_prompt",
            "hr_prompt",
            "hr_negative_prompt",
            "refiner_checkpoint",
        }
    )
    LISTS: ClassVar[frozenset[str]] = frozenset({"forge_additional_modules"})


class PipelineSection(Section):
    """Which stages run, and how often: `loop_count` repeats records, `images_per_prompt` is within one."""

    txt2img_enabled: bool = True
    img2img_enabled: bool = False
    adetailer_enabled: bool = False
    upscale_enabled: bool = False
    images_per_prompt: Annotated[Whole, Field(ge=1, le=100)] = 1
    loop_type: Text = "pipeline"
    loop_count: Annotated[Whole, Field(ge=1, le=100_000)] = 1
    seed_mode: Text = ""
    apply_global_negative_txt2img: bool = True
    apply_global_negative_img2img: bool = True
    apply_global_negative_adetailer: bool = True
    apply_global_negative_upscale: bool = True

    ALIASES: ClassVar[Mapping[str, str]] = {"batch_runs": "loop_count"}
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "seed_mode": {mode: mode for mode in ("none", "random", "fixed")}
    }
    INERT: ClassVar[Inert] = {
        "n_iter": (1,),
        "batch_size": (1,),
        "output_dir": ANYTHING,
        "filename_pattern": ANYTHING,
        "image_format": ANYTHING,
        "pack_mode": ANYTHING,
        "variant_mode": ANYTHING,
        "model_matrix": ([],),
        "hypernetworks": ([],),
        "allow_hr_with_stages": ANYTHING,
    }


class MatrixSection(Section):
    """How slots multiply rows; `limit` 0 is no limit. The slots themselves are read apart."""

    enabled: bool = False
    mode: Text = "fanout"
    limit: Annotated[Whole, Field(ge=0)] = 0

    ALIASES: ClassVar[Mapping[str, str]] = {"max_variants": "limit"}
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {"enabled": SWITCH}
    INERT: ClassVar[Inert] = {"raw_text": ANYTHING}


class RandomizationSection(Section):
    """Only whether the block, or a part of it, counts; the rest is read in `randomization`."""

    enabled: bool = False

    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {"enabled": SWITCH}


class PackSection(Section):
    """`pack_data` without its slots and matrix."""

    name: Text = ""

    INERT: ClassVar[Inert] = {"version": ANYTHING, "show_preview": ANYTHING, "description": ANYTHING}


IDLE_SECTIONS: Final = frozenset({"api", "meta"})
"""Sections about the program that wrote the pack, not about its pictures."""
OPTIONAL_SECTIONS: Final = frozenset({"aesthetic", "prompt_optimizer"})
"""Sections of features that do not exist here: a warning where they are on."""
