"""Which strings of a request are names that the WebUI lists, and which keys its requests have."""

from __future__ import annotations

from typing import Final

from webui.drivers.a1111 import schemas
from webui.work.unit import Vocabulary

PLAIN_FIELDS: Final = frozenset(
    {
        "sampler_name",
        "sampler_index",
        "scheduler",
        "refiner_checkpoint",
        "hr_checkpoint_name",
        "hr_sampler_name",
        "hr_scheduler",
        "hr_upscaler",
        "upscaler_1",
        "upscaler_2",
        "force_task_id",
    }
)
"""Fields of a request whose strings stay: names that the WebUI itself lists, and our own id."""

PLAIN_OPTIONS: Final = frozenset({"sd_model_checkpoint", "sd_vae", "upscaler_for_img2img"})
"""The same within `override_settings`."""

IMAGE_FIELDS: Final = frozenset({"image", "mask", "init_images", "imageList", "mask_image"})

_ADETAILER_NAMES: Final = """
model model_classes tab_enable prompt negative_prompt confidence mask_filter_method mask_k mask_k_largest
mask_min_ratio mask_max_ratio dilate_erode x_offset y_offset mask_merge_invert mask_blur denoising_strength
inpaint_only_masked inpaint_only_masked_padding use_inpaint_width_height inpaint_width inpaint_height
use_steps steps use_cfg_scale cfg_scale use_checkpoint checkpoint use_vae vae use_sampler sampler scheduler
use_noise_multiplier noise_multiplier use_clip_skip clip_skip restore_face controlnet_model
controlnet_module controlnet_weight controlnet_guidance_start controlnet_guidance_end
"""
_ADETAILER_KEYS: Final = frozenset(f"ad_{name}" for name in _ADETAILER_NAMES.split())

KNOWN_KEYS: Final = (
    frozenset(
        name
        for kind in (
            schemas.Txt2ImgRequest,
            schemas.Img2ImgRequest,
            schemas.ExtraSingleImageRequest,
            schemas.OverrideSettings,
            schemas.AlwaysOnScript,
        )
        for name in kind.model_fields
    )
    | frozenset({"upscaler_for_img2img", "ADetailer"})
    | _ADETAILER_KEYS
)
"""Keys that stay. Any other may be somebody's text."""

VOCABULARY: Final = Vocabulary(
    plain=PLAIN_FIELDS,
    plain_within={"override_settings": PLAIN_OPTIONS},
    pictures=IMAGE_FIELDS,
    keys=KNOWN_KEYS,
)
