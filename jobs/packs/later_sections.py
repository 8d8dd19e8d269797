"""Settings of the stages that follow txt2img: img2img, ADetailer, upscale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from jobs.packs.sections import ANYTHING, Inert, Name, Number, Section, Seed, Text, Whole

_DETAILER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "face_enabled": ("enable_face_pass", "face_pass_enabled"),
    "model": ("face_model", "detector", "detector_model"),
    "confidence": ("confidence_threshold", "face_confidence"),
    "mask_filter_method": ("filter_method",),
    "mask_k": ("mask_k_largest", "mask_only_the_k_largest"),
    "mask_min_ratio": ("min_ratio",),
    "mask_max_ratio": ("max_ratio",),
    "dilate_erode": ("mask_dilate_erode",),
    "mask_blur": ("mask_feather", "feather"),
    "mask_merge_invert": ("mask_merge_mode", "merge_invert"),
    "inpaint_only_masked": ("only_masked",),
    "inpaint_padding": ("inpaint_only_masked_padding", "face_padding", "padding"),
    "use_inpaint_width_height": (),
    "inpaint_width": (),
    "inpaint_height": (),
    "steps": (),
    "cfg_scale": ("cfg",),
    "denoising_strength": ("denoise", "denoising"),
    "sampler_name": ("sampler",),
    "scheduler": ("scheduler_name",),
    "prompt": ("positive_prompt",),
    "negative_prompt": ("negative",),
}
"""Settings of the face pass and their other names; those of the hand pass have the same names after `hand_`."""


def _detailer_aliases() -> dict[str, str]:
    """Every name also with `adetailer_` and `ad_` before it; of two that disagree, the earlier one counts."""
    aliases: dict[str, str] = {}
    for name, others in _DETAILER_NAMES.items():
        for written in (name, *others):
            for prefix in ("adetailer_", "ad_", ""):
                aliases.setdefault(prefix + written, name)
    hand = {"enable_hands_pass": "hand_enabled", "enable_hand_pass": "hand_enabled"}
    for name, others in _DETAILER_NAMES.items():
        own = "hand_" + name.removeprefix("face_")
        for written in (name, *(other for other in others if "face" not in other)):
            bare = written.removeprefix("face_")
            for prefix in ("adetailer_hand_", "adetailer_hands_", "ad_hand_", "ad_hands_", "hand_", "hands_"):
                hand.setdefault(prefix + bare, own)
    return {alias: name for alias, name in (aliases | hand).items() if alias != name}


class Img2ImgSection(Section):
    """Draws the whole picture again. What is unset follows: sizes the picture, the rest txt2img.

    `prompt` and `negative_prompt` stand instead of the row's; `prompt_adjust` and `negative_adjust` behind them.
    """

    prompt: Text = ""
    negative_prompt: Text = ""
    prompt_adjust: Text = ""
    negative_adjust: Text = ""
    steps: Whole = 15
    cfg_scale: Number = 7.0
    denoising_strength: Number = 0.3
    sampler_name: Name = "Euler a"
    scheduler: Name = ""
    width: Whole = 0
    height: Whole = 0
    model: Annotated[Text, Field(max_length=300)] = ""
    vae: Annotated[Text, Field(max_length=300)] = ""
    clip_skip: Whole = 0
    seed: Seed = -1

    ALIASES: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "base_model": "model",
        "checkpoint": "model",
        "vae_name": "vae",
        "sampler": "sampler_name",
        "scheduler_name": "scheduler",
        "cfg": "cfg_scale",
        "denoise": "denoising_strength",
        "denoising": "denoising_strength",
        "positive_prompt": "prompt",
    }
    INERT: ClassVar[Inert] = {
        "hypernetwork": ("None", "none", ""),
        "hypernetwork_strength": ANYTHING,
        "mask_mode": ("none", "None", ""),
        "enabled": ANYTHING,
        "img2img_enabled": ANYTHING,
        "batch_size": (1,),
        "n_iter": (1,),
    }
    MEANING: ClassVar[frozenset[str]] = frozenset(
        {"model", "vae", "prompt", "negative_prompt", "prompt_adjust", "negative_adjust"}
    )


class ADetailerSection(Section):
    """A pass for faces and one for hands. `model` is what finds them, no checkpoint.

    A pass without `prompt` or `negative_prompt` uses the picture's. Regions are drawn at the size of the picture
    unless `use_inpaint_width_height`.
    """

    face_enabled: bool = True
    model: Name = "face_yolov8n.pt"
    confidence: Number = 0.35
    mask_filter_method: Literal["Area", "Confidence"] = "Area"
    mask_k: Whole = 3
    mask_min_ratio: Number = 0.01
    mask_max_ratio: Number = 1.0
    dilate_erode: Whole = 4
    mask_blur: Whole = 6
    mask_merge_invert: Literal["None", "Merge", "Merge and Invert"] = "None"
    inpaint_only_masked: bool = True
    inpaint_padding: Whole = 32
    use_inpaint_width_height: bool = False
    inpaint_width: Whole = 512
    inpaint_height: Whole = 512
    steps: Whole = 14
    cfg_scale: Number = 5.5
    denoising_strength: Number = 0.32
    sampler_name: Name = "DPM++ 2M"
    scheduler: Name = ""
    prompt: Text = ""
    negative_prompt: Text = ""
    hand_enabled: bool = False
    hand_model: Name = "hand_yolov8n.pt"
    hand_confidence: Number = 0.3
    hand_mask_filter_method: Literal["Area", "Confidence"] = "Area"
    hand_mask_k: Whole = 6
    hand_mask_min_ratio: Number = 0.003
    hand_mask_max_ratio: Number = 1.0
    hand_dilate_erode: Whole = 6
    hand_mask_blur: Whole = 4
    hand_mask_merge_invert: Literal["None", "Merge", "Merge and Invert"] = "None"
    hand_inpaint_only_masked: bool = True
    hand_inpaint_padding: Whole = 16
    hand_use_inpaint_width_height: bool = False
    hand_inpaint_width: Whole = 512
    hand_inpaint_height: Whole = 512
    hand_steps: Whole = 12
    hand_cfg_scale: Number = 5.0
    hand_denoising_strength: Number = 0.25
    hand_sampler_name: Name = ""
    hand_scheduler: Name = ""
    hand_prompt: Text = ""
    hand_negative_prompt: Text = ""

    ALIASES: ClassVar[Mapping[str, str]] = _detailer_aliases()
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        prefix + name: spellings
        for prefix in ("", "hand_")
        for name, spellings in {
            "mask_filter_method": {"area": "Area", "largest": "Area", "confidence": "Confidence"},
            "mask_merge_invert": {
                "": "None",
                "none": "None",
                "keep": "None",
                "merge": "Merge",
                "merge and invert": "Merge and Invert",
                "merge_and_invert": "Merge and Invert",
                "invert": "Merge and Invert",
            },
        }.items()
    }
    INERT: ClassVar[Inert] = {
        "enabled": ANYTHING,
        "adetailer_enabled": ANYTHING,
        "ad_enabled": ANYTHING,
        "ad_tab_enable": (True,),
        "ad_use_steps": (True,),
        "ad_use_cfg_scale": (True,),
        "ad_use_sampler": (True,),
        "only_faces": (False,),
        "only_hands": (False,),
        "max_detections": (0,),
    }
    MEANING: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "negative_prompt", "hand_prompt", "hand_negative_prompt"}
    )
    SWITCHES: ClassVar[Mapping[str, str]] = {
        "prompt": "face_enabled",
        "negative_prompt": "face_enabled",
        "hand_prompt": "hand_enabled",
        "hand_negative_prompt": "hand_enabled",
    }


class UpscaleSection(Section):
    """By extras (`single`), or by img2img, which alone knows steps, sampler and denoising."""

    upscale_mode: Literal["single", "img2img"] = "single"
    upscaler: Text = "R-ESRGAN 4x+"
    upscaling_resize: Number = 2.0
    gfpgan_visibility: Number = 0.0
    codeformer_visibility: Number = 0.0
    codeformer_weight: Number = 0.5
    steps: Whole = 20
    cfg_scale: Number = 7.0
    denoising_strength: Number = 0.35
    sampler_name: Name = ""
    scheduler: Name = ""

    ALIASES: ClassVar[Mapping[str, str]] = {
        "upscaler_name": "upscaler",
        "upscaler_1": "upscaler",
        "scale": "upscaling_resize",
        "upscale_factor": "upscaling_resize",
        "mode": "upscale_mode",
        "sampler": "sampler_name",
        "scheduler_name": "scheduler",
        "cfg": "cfg_scale",
        "denoise": "denoising_strength",
    }
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "upscale_mode": {"single": "single", "extras": "single", "img2img": "img2img"}
    }
    INERT: ClassVar[Inert] = {
        "tile_size": (0,),
        "tile_overlap": ANYTHING,
        "face_restore": (False,),
        "face_restore_method": ANYTHING,
        "upscale_enabled": ANYTHING,
        "enabled": ANYTHING,
    }
