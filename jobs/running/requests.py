"""From a record to what goes over the wire: which requests a job needs, and the exact body of each.

Nothing is merged or re-read here: the record is complete, and of a picture only its size and its index count.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from jobs.records.record import NormalizedJobRecord, StageConfig
from jobs.records.stage_config import nearest_size
from webui.drivers.a1111.schemas import (
    AlwaysOnScript,
    ExtraSingleImageRequest,
    Img2ImgRequest,
    OverrideSettings,
    Txt2ImgRequest,
    encode_image,
)
from webui.work.parameters import ADetailerParameters, DetailerPass

#: Stages that make all pictures of a job in one request; the others take one picture per request.
GENERATION_STAGES = frozenset({"txt2img"})
ADETAILER: Final = "ADetailer"
SAME_SCHEDULER: Final = "Use same scheduler"


@dataclass(frozen=True, slots=True)
class Unit:
    """One request, and the pictures that its answer must hold.

    A run resumes at the first unit of which a picture is missing. `image_indexes` are 0-based.
    """

    stage: StageConfig
    stage_index: int
    image_indexes: tuple[int, ...]

    @property
    def image_index(self) -> int | None:
        """The one picture of the unit; None where one request makes them all."""
        return None if self.stage.stage in GENERATION_STAGES else self.image_indexes[0]

    @property
    def samples(self) -> bool:
        return samples(self.stage)

    @property
    def endpoint(self) -> str:
        """Where the request goes: ADetailer and some upscales are img2img."""
        if self.stage.stage in GENERATION_STAGES:
            return "/sdapi/v1/txt2img"
        return "/sdapi/v1/img2img" if self.samples else "/sdapi/v1/extra-single-image"


def samples(stage: StageConfig) -> bool:
    """Whether the WebUI samples for this stage: such a request can be interrupted, one to the extras cannot."""
    return stage.stage != "upscale" or stage.upscale_by_img2img is not None


def units_of(record: NormalizedJobRecord) -> tuple[tuple[Unit, ...], ...]:
    """The units of each enabled stage, in the order in which they run."""
    everything = tuple(range(record.images_per_prompt))
    return tuple(
        (Unit(stage, index, everything),)
        if stage.stage in GENERATION_STAGES
        else tuple(Unit(stage, index, (image,)) for image in everything)
        for index, stage in enumerate(record.enabled_stages)
    )


def checkpoint_of(record: NormalizedJobRecord, stage: StageConfig) -> str:
    """The checkpoint that a stage asks for; "" takes what the server has loaded."""
    own = stage.img2img.checkpoint if stage.stage == "img2img" else ""
    return own or record.base_model


def txt2img_request(record: NormalizedJobRecord, stage: StageConfig, *, task_id: str) -> Txt2ImgRequest:
    """The body of the first stage: one request with batch_size 1 and n_iter = images_per_prompt."""
    parameters = stage.txt2img
    hires = parameters.enable_hr
    second = next((one for one in record.stage_prompts if one.stage == "hires"), None) if hires else None
    refiner = parameters.refiner_checkpoint or None
    return Txt2ImgRequest(
        prompt=record.positive_prompt,
        negative_prompt=record.negative_prompt,
        seed=record.seed,
        subseed=record.subseed,
        subseed_strength=record.subseed_strength,
        steps=parameters.steps,
        cfg_scale=parameters.cfg_scale,
        width=parameters.width,
        height=parameters.height,
        sampler_name=parameters.sampler,
        scheduler=parameters.scheduler or None,
        batch_size=1,
        n_iter=record.images_per_prompt,
        enable_hr=hires,
        hr_scale=parameters.hr_scale if hires else None,
        hr_upscaler=parameters.hr_upscaler if hires else None,
        hr_second_pass_steps=parameters.hr_second_pass_steps if hires else None,
        hr_resize_x=parameters.hr_resize_x if hires else None,
        hr_resize_y=parameters.hr_resize_y if hires else None,
        hr_sampler_name=(parameters.hr_sampler or None) if hires else None,
        hr_scheduler=(parameters.hr_scheduler or None) if hires else None,
        hr_prompt=second.positive if second else None,
        hr_negative_prompt=second.negative if second else None,
        denoising_strength=parameters.denoising_strength if hires else None,
        refiner_checkpoint=refiner,
        refiner_switch_at=parameters.refiner_switch_at if refiner else None,
        override_settings=OverrideSettings.select(
            checkpoint=record.base_model, vae=record.vae, clip_skip=record.clip_skip
        ),
        force_task_id=task_id,
    )


def unit_request(
    record: NormalizedJobRecord,
    unit: Unit,
    picture_of: Callable[[str, int], bytes],
    *,
    task_id: str,
) -> Txt2ImgRequest | Img2ImgRequest | ExtraSingleImageRequest:
    """The body of a unit; `picture_of(stage, image index)` gives the picture that a later stage begins with."""
    if unit.image_index is None:
        return txt2img_request(record, unit.stage, task_id=task_id)
    before = record.enabled_stages[unit.stage_index - 1].stage
    picture = picture_of(before, unit.image_index)
    return later_request(record, unit.stage, picture, unit.image_index, task_id=task_id)


def later_request(
    record: NormalizedJobRecord, stage: StageConfig, picture: bytes, image: int, *, task_id: str
) -> Img2ImgRequest | ExtraSingleImageRequest:
    """The body of a later stage for the picture with this index."""
    if stage.stage == "img2img":
        return _img2img(record, stage, picture, image, task_id)
    if stage.stage == "adetailer":
        return _adetailer(record, stage, picture, image, task_id)
    if stage.upscale_by_img2img is not None:
        return _upscale_by_img2img(record, stage, picture, image, task_id)
    return upscale_request(stage, picture)


def _img2img(
    record: NormalizedJobRecord, stage: StageConfig, picture: bytes, image: int, task_id: str
) -> Img2ImgRequest:
    parameters = stage.img2img
    width, height = size_of(picture)
    own_seed = {} if parameters.seed is None else {"seed": parameters.seed + image}
    return Img2ImgRequest(
        **_shared(record, "img2img", picture, image) | own_seed,
        steps=parameters.steps,
        cfg_scale=parameters.cfg_scale,
        denoising_strength=parameters.denoising_strength,
        width=parameters.width or width,
        height=parameters.height or height,
        sampler_name=parameters.sampler,
        scheduler=parameters.scheduler,
        override_settings=OverrideSettings.select(
            checkpoint=parameters.checkpoint or record.base_model,
            vae=parameters.vae or record.vae,
            clip_skip=parameters.clip_skip,
        ),
        force_task_id=task_id,
    )


def _adetailer(
    record: NormalizedJobRecord, stage: StageConfig, picture: bytes, image: int, task_id: str
) -> Img2ImgRequest:
    """An img2img whose own pass the extension skips (its second argument), so that only regions change.

    The outer values are those of the first pass that is on; the extension itself replaces steps, sampler and
    size for the pass that it skips, and what it leaves stands in the infotext.
    """
    parameters = stage.adetailer
    first = parameters.first
    width, height = size_of(picture)
    return Img2ImgRequest(
        **_shared(record, "adetailer", picture, image),
        steps=first.steps,
        cfg_scale=first.cfg_scale,
        denoising_strength=first.denoising_strength,
        width=width,
        height=height,
        sampler_name=first.sampler,
        scheduler=first.scheduler,
        alwayson_scripts={ADETAILER: AlwaysOnScript(args=[True, True, *_passes(record, parameters)])},
        override_settings=_checkpoint(record),
        force_task_id=task_id,
    )


def _upscale_by_img2img(
    record: NormalizedJobRecord, stage: StageConfig, picture: bytes, image: int, task_id: str
) -> Img2ImgRequest:
    parameters = stage.upscale_by_img2img
    if parameters is None:
        raise TypeError("an upscale by extras has no img2img request")
    width, height = size_of(picture, parameters.upscaling_resize)
    return Img2ImgRequest(
        **_shared(record, "upscale", picture, image),
        steps=parameters.steps,
        cfg_scale=parameters.cfg_scale,
        denoising_strength=parameters.denoising_strength,
        width=width,
        height=height,
        sampler_name=parameters.sampler,
        scheduler=parameters.scheduler,
        override_settings=_checkpoint(record).model_copy(
            update={"upscaler_for_img2img": parameters.upscaler}
        ),
        force_task_id=task_id,
    )


def upscale_request(stage: StageConfig, picture: bytes) -> ExtraSingleImageRequest:
    """The body of an upscale by extras; extras know neither checkpoint nor task id."""
    parameters = stage.upscale
    return ExtraSingleImageRequest(
        image=encode_image(picture),
        resize_mode=parameters.resize_mode,
        upscaling_resize=parameters.upscaling_resize,
        upscaler_1=parameters.upscaler,
        gfpgan_visibility=parameters.gfpgan_visibility,
        codeformer_visibility=parameters.codeformer_visibility,
        codeformer_weight=parameters.codeformer_weight,
    )


def size_of(picture: bytes, factor: float = 1.0) -> tuple[int, int]:
    """Width and height of a picture times `factor`, each as the nearest size that a WebUI takes."""
    with Image.open(io.BytesIO(picture)) as opened:
        width, height = opened.size
    return nearest_size(width * factor), nearest_size(height * factor)


def _shared(record: NormalizedJobRecord, stage: str, picture: bytes, image: int) -> dict[str, Any]:
    """What every img2img request has: a later stage keeps the seeds with which its picture was drawn.

    The WebUI counts up from picture to picture, past 2**32 too; with a variation, only its seed counts up.
    """
    prompt, negative_prompt = record.prompts_of(stage)
    varied = record.subseed_strength != 0
    return {
        "init_images": [encode_image(picture)],
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "seed": record.seed + (0 if varied else image),
        "subseed": record.subseed + image,
        "subseed_strength": record.subseed_strength,
        "batch_size": 1,
        "n_iter": 1,
    }


def _checkpoint(record: NormalizedJobRecord) -> OverrideSettings:
    return OverrideSettings.select(checkpoint=record.base_model, vae=record.vae, clip_skip=record.clip_skip)


def _passes(record: NormalizedJobRecord, parameters: ADetailerParameters) -> tuple[dict[str, Any], ...]:
    own = {one.stage: one for one in record.stage_prompts}
    return tuple(
        _pass_arguments(one, prompts.positive if prompts else None, prompts.negative if prompts else None)
        for one, prompts in ((parameters.face, own.get("face")), (parameters.hand, own.get("hand")))
    )


def _pass_arguments(one: DetailerPass, positive: str | None, negative: str | None) -> dict[str, Any]:
    """One pass by the extension's names; an empty prompt there means that of the request."""
    sized = bool(one.inpaint_width and one.inpaint_height)
    return {
        "ad_model": one.model,
        "ad_tab_enable": one.enabled,
        "ad_prompt": positive or "",
        "ad_negative_prompt": negative or "",
        "ad_confidence": one.confidence,
        "ad_mask_filter_method": one.mask_filter_method,
        "ad_mask_k": one.mask_k,
        "ad_mask_min_ratio": one.mask_min_ratio,
        "ad_mask_max_ratio": one.mask_max_ratio,
        "ad_dilate_erode": one.dilate_erode,
        "ad_x_offset": 0,
        "ad_y_offset": 0,
        "ad_mask_merge_invert": one.mask_merge_invert,
        "ad_mask_blur": one.mask_blur,
        "ad_denoising_strength": one.denoising_strength,
        "ad_inpaint_only_masked": one.inpaint_only_masked,
        "ad_inpaint_only_masked_padding": one.inpaint_padding,
        "ad_use_inpaint_width_height": sized,
        "ad_inpaint_width": one.inpaint_width or 512,
        "ad_inpaint_height": one.inpaint_height or 512,
        "ad_use_steps": True,
        "ad_steps": one.steps,
        "ad_use_cfg_scale": True,
        "ad_cfg_scale": one.cfg_scale,
        "ad_use_sampler": True,
        "ad_sampler": one.sampler,
        "ad_scheduler": one.scheduler or SAME_SCHEDULER,
    }
