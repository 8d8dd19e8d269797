"""From a unit of work to the body that goes over the wire: of a picture only its size and its index count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from webui.drivers.a1111 import quirks
from webui.drivers.a1111.client import Payload
from webui.drivers.a1111.schemas import (
    AlwaysOnScript,
    ExtraSingleImageRequest,
    Img2ImgRequest,
    OverrideSettings,
    Txt2ImgRequest,
    encode_image,
)
from webui.drivers.a1111.vocabulary import VOCABULARY
from webui.work.parameters import (
    ADetailerParameters,
    DetailerPass,
    Img2ImgParameters,
    Txt2ImgParameters,
    UpscaleByImg2ImgParameters,
    UpscaleParameters,
    nearest_size,
)
from webui.work.pictures import read_header
from webui.work.unit import Prompts, Request, Work

ADETAILER: Final = "ADetailer"
NO_UPSCALER: Final = "None"
"""Extras leave the picture as it is then, whatever size is asked for."""
DEFAULT_HIRES_SCALE: Final = 2.0
SAME_SCHEDULER: Final = "Use same scheduler"
_NONE: Final = Prompts(None, None)


def request_of(work: Work) -> Request:
    """The request for a unit of work. Raises ValueError for work that is not this server's."""
    made = request_for(payload_of(work), work.picture, stage=work.stage)
    return replace(
        made,
        task_id=work.task_id,
        enlarges=getattr(work.parameters, "upscaling_resize", 1.0),
        embeddings=work.embeddings if made.samples else (),
    )


def request_for(payload: Payload, source: bytes | None, *, stage: str) -> Request:
    """What a body by itself asks for; `source` is the picture in it."""
    if isinstance(payload, ExtraSingleImageRequest):
        pictures, task_id, checkpoint = 1, "", ""
        enlarges = payload.upscaling_resize or 1.0
    else:
        pictures, task_id = payload.expected_pictures, payload.force_task_id
        checkpoint, enlarges = payload.override_settings.sd_model_checkpoint or "", 1.0
    return Request(
        stage=stage,
        endpoint=payload.endpoint,
        body=payload.wire(),
        pictures=pictures,
        vocabulary=VOCABULARY,
        task_id=task_id,
        samples=not isinstance(payload, ExtraSingleImageRequest),
        checkpoint=checkpoint,
        size_px=size_asked(payload, source),
        source=source,
        enlarges=enlarges,
        changes=_changes(payload),
    )


def _changes(payload: Payload) -> bool | None:
    """Whether the picture that goes in cannot be what comes back; None where detectors decide it."""
    if isinstance(payload, ExtraSingleImageRequest):
        return payload.upscaler_1 != NO_UPSCALER and (payload.upscaling_resize or 1.0) != 1.0
    if isinstance(payload, Txt2ImgRequest):
        return False
    if payload.alwayson_scripts:
        return None
    # With fewer steps than that nothing is drawn anew.
    return int(payload.steps * (payload.denoising_strength or 0.0)) >= 1


def skips_own_pass(body: Mapping[str, Any]) -> bool:
    """ADetailer replaces steps, sampler and size of an img2img pass that it skips; the infotext has its values."""
    arguments = ((body.get("alwayson_scripts") or {}).get(ADETAILER) or {}).get("args") or ()
    return next(iter(arguments[1:2]), False) is True


def size_asked(payload: Payload, picture: bytes | None) -> tuple[int, int] | None:
    """Width and height of the pictures that must come back; None where only the server can know."""
    if isinstance(payload, ExtraSingleImageRequest):
        if payload.resize_mode != 0 or picture is None:
            return None
        factor = 1.0 if payload.upscaler_1 == NO_UPSCALER else payload.upscaling_resize or 1.0
        header = read_header(picture)
        return round(header.width_px * factor), round(header.height_px * factor)
    width, height = payload.width, payload.height
    if isinstance(payload, Txt2ImgRequest) and payload.enable_hr:
        x, y = payload.hr_resize_x or 0, payload.hr_resize_y or 0
        if x or y:
            return x or y * width // height, y or x * height // width
        scale = payload.hr_scale or DEFAULT_HIRES_SCALE
        return int(width * scale), int(height * scale)
    return width, height


def payload_of(work: Work) -> Payload:
    """The body by the kind of its parameters."""
    parameters = work.parameters
    if isinstance(parameters, Txt2ImgParameters):
        return _txt2img(work, parameters)
    if work.picture is None:
        raise ValueError(f"stage {work.stage} needs a picture to begin with")
    if isinstance(parameters, Img2ImgParameters):
        return _img2img(work, parameters, work.picture)
    if isinstance(parameters, ADetailerParameters):
        return _adetailer(work, parameters, work.picture)
    if isinstance(parameters, UpscaleByImg2ImgParameters):
        return _upscale_by_img2img(work, parameters, work.picture)
    if isinstance(parameters, UpscaleParameters):
        return _upscale(parameters, work.picture)
    raise ValueError(f"a WebUI draws pictures; it has no stage {work.stage}")


def _txt2img(work: Work, parameters: Txt2ImgParameters) -> Txt2ImgRequest:
    """One request for all pictures: batch_size 1 and n_iter as many as are wanted."""
    hires = parameters.enable_hr
    second = work.parts.get("hires") if hires else None
    refiner = parameters.refiner_checkpoint or None
    return Txt2ImgRequest(
        prompt=work.prompt,
        negative_prompt=work.negative_prompt,
        seed=work.seed,
        subseed=work.subseed,
        subseed_strength=work.subseed_strength,
        steps=parameters.steps,
        cfg_scale=parameters.cfg_scale,
        width=parameters.width,
        height=parameters.height,
        sampler_name=parameters.sampler,
        scheduler=parameters.scheduler or None,
        batch_size=1,
        n_iter=len(work.images),
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
        hr_additional_modules=list(quirks.SAME_MODULES) if hires else None,
        denoising_strength=parameters.denoising_strength if hires else None,
        refiner_checkpoint=refiner,
        refiner_switch_at=parameters.refiner_switch_at if refiner else None,
        override_settings=_checkpoint(work),
        force_task_id=work.task_id,
    )


def _img2img(work: Work, parameters: Img2ImgParameters, picture: bytes) -> Img2ImgRequest:
    width, height = size_of(picture)
    own_seed = {} if parameters.seed is None else {"seed": parameters.seed + work.images[0]}
    return Img2ImgRequest(
        **_shared(work, picture) | own_seed,
        steps=parameters.steps,
        cfg_scale=parameters.cfg_scale,
        denoising_strength=parameters.denoising_strength,
        width=parameters.width or width,
        height=parameters.height or height,
        sampler_name=parameters.sampler,
        scheduler=parameters.scheduler,
        override_settings=_overrides(
            parameters.checkpoint or work.checkpoint,
            parameters.vae or work.vae,
            parameters.clip_skip,
            None if parameters.checkpoint else work.modules,
        ),
        force_task_id=work.task_id,
    )


def _adetailer(work: Work, parameters: ADetailerParameters, picture: bytes) -> Img2ImgRequest:
    """An img2img whose own pass the extension skips (its second argument), so that only regions change.

    The outer values are those of the first pass that is on; the extension itself replaces steps, sampler and
    size for the pass that it skips, and what it leaves stands in the infotext.
    """
    first = parameters.first
    width, height = size_of(picture)
    return Img2ImgRequest(
        **_shared(work, picture),
        steps=first.steps,
        cfg_scale=first.cfg_scale,
        denoising_strength=first.denoising_strength,
        width=width,
        height=height,
        sampler_name=first.sampler,
        scheduler=first.scheduler,
        alwayson_scripts={ADETAILER: AlwaysOnScript(args=[True, True, *_passes(work, parameters)])},
        override_settings=_checkpoint(work),
        force_task_id=work.task_id,
    )


def _upscale_by_img2img(work: Work, parameters: UpscaleByImg2ImgParameters, picture: bytes) -> Img2ImgRequest:
    width, height = size_of(picture, parameters.upscaling_resize)
    return Img2ImgRequest(
        **_shared(work, picture),
        steps=parameters.steps,
        cfg_scale=parameters.cfg_scale,
        denoising_strength=parameters.denoising_strength,
        width=width,
        height=height,
        sampler_name=parameters.sampler,
        scheduler=parameters.scheduler,
        override_settings=_checkpoint(work).model_copy(update={"upscaler_for_img2img": parameters.upscaler}),
        force_task_id=work.task_id,
    )


def _upscale(parameters: UpscaleParameters, picture: bytes) -> ExtraSingleImageRequest:
    """The body of an upscale by extras; extras know neither checkpoint nor task id."""
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
    header = read_header(picture)
    return nearest_size(header.width_px * factor), nearest_size(header.height_px * factor)


def _shared(work: Work, picture: bytes) -> dict[str, Any]:
    """What every img2img request has: a later stage keeps the seeds with which its picture was drawn.

    The WebUI counts up from picture to picture, past 2**32 too; with a variation, only its seed counts up.
    """
    image = work.images[0]
    varied = work.subseed_strength != 0
    return {
        "init_images": [encode_image(picture)],
        "prompt": work.prompt,
        "negative_prompt": work.negative_prompt,
        "seed": work.seed + (0 if varied else image),
        "subseed": work.subseed + image,
        "subseed_strength": work.subseed_strength,
        "batch_size": 1,
        "n_iter": 1,
    }


def _checkpoint(work: Work) -> OverrideSettings:
    return _overrides(work.checkpoint, work.vae, work.clip_skip, work.modules)


def _overrides(
    checkpoint: str, vae: str, clip_skip: int | None, modules: tuple[str, ...] | None
) -> OverrideSettings:
    """An empty name leaves what the WebUI has loaded, no clip skip its own, and no modules those beside it."""
    return OverrideSettings(
        sd_model_checkpoint=checkpoint or None,
        sd_vae=vae or None,
        CLIP_stop_at_last_layers=clip_skip,
        forge_additional_modules=None if modules is None else list(modules),
    )


def _passes(work: Work, parameters: ADetailerParameters) -> tuple[dict[str, Any], ...]:
    passes = (("face", parameters.face), ("hand", parameters.hand))
    return tuple(_pass_arguments(one, work.parts.get(name, _NONE)) for name, one in passes)


def _pass_arguments(one: DetailerPass, prompts: Prompts) -> dict[str, Any]:
    """One pass by the extension's names; an empty prompt there means that of the request."""
    sized = bool(one.inpaint_width and one.inpaint_height)
    return {
        "ad_model": one.model,
        "ad_tab_enable": one.enabled,
        "ad_prompt": prompts.positive or "",
        "ad_negative_prompt": prompts.negative or "",
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
