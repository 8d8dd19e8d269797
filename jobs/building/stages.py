"""A pack's settings as the stages of a record. Sampler names of old packs are split here, once."""

from __future__ import annotations

from typing import Final

from jobs.packs.document import PackDocument
from jobs.packs.findings import Report
from jobs.packs.later_sections import ADetailerSection, Img2ImgSection, UpscaleSection
from jobs.packs.sections import SAME, Txt2ImgSection
from jobs.records.stage_config import SIZE_RANGE_PX, STAGES, StageConfig, stage_problems
from webui.work.parameters import (
    ADetailerParameters,
    DetailerPass,
    Img2ImgParameters,
    Parameters,
    Txt2ImgParameters,
    UpscaleByImg2ImgParameters,
    UpscaleParameters,
)

DEFAULT_SCHEDULER: Final = "Automatic"
_SUFFIXES: Final = ("SGM Uniform", "Polyexponential", "Exponential", "Karras")
_NAMES: Final = {"sampler": "sampler_name", "hand_sampler": "hand_sampler_name"}
"""Parameters whose setting has another name."""


def split_sampler(sampler: str, scheduler: str) -> tuple[str, str]:
    """`DPM++ 2M Karras` becomes (`DPM++ 2M`, `Karras`); a scheduler that is given wins over the suffix."""
    sampler, scheduler = sampler.strip(), scheduler.strip()
    for suffix in _SUFFIXES:
        if sampler.lower().endswith(" " + suffix.lower()):
            return sampler[: -len(suffix)].strip(), scheduler or suffix
    return sampler, scheduler


def build_chain(document: PackDocument, report: Report) -> tuple[StageConfig, ...]:
    """Every stage, with its complete parameters if it is on; problems of those that are go to `report`."""
    pipeline = document.pipeline
    first = _txt2img(document.txt2img, report)
    made: dict[str, Parameters] = {
        "txt2img": first,
        "img2img": _img2img(document.img2img, document.txt2img, first),
        "adetailer": _adetailer(document.adetailer, first),
        "upscale": _upscale(document.upscale, first),
    }
    chain = tuple(
        StageConfig(stage=name, enabled=on, parameters=made[name] if on or name == "txt2img" else None)
        for name in STAGES
        for on in (getattr(pipeline, f"{name}_enabled"),)
    )
    on = [stage for stage in chain if stage.enabled]
    if not on:
        report.refuse("empty_stage_chain", "no stage is on; turn on txt2img.", "pipeline.txt2img_enabled")
    elif on[0].stage != "txt2img":
        words = f"stage {on[0].stage} needs a picture to work on, and txt2img is off."
        report.refuse("malformed_stage_chain", words, "pipeline.txt2img_enabled")
    for stage in on:
        for code, name, words in stage_problems(stage):
            report.refuse(code, f"{stage.stage}.{words}", f"{stage.stage}.{_NAMES.get(name, name)}")
    _refuse_large(document, chain, report)
    if document.txt2img.use_refiner and not first.refiner_checkpoint:
        words = "the refiner is on, but names no checkpoint: --set txt2img.refiner_checkpoint=NAME."
        report.refuse("missing_refiner_checkpoint", words, "txt2img.refiner_checkpoint")
    return chain


def _refuse_large(document: PackDocument, chain: tuple[StageConfig, ...], report: Report) -> None:
    """Refuse an upscale by img2img beyond what a WebUI draws, rather than shrink it silently."""
    by_img2img = chain[-1].upscale_by_img2img
    if by_img2img is None:
        return
    width, height = _size_before(document)
    factor, most = by_img2img.upscaling_resize, SIZE_RANGE_PX[1]
    if max(width, height) * factor > most:
        words = (
            f"upscale.upscaling_resize {factor:g} makes {width * factor:.0f}x{height * factor:.0f} of "
            f"{width:.0f}x{height:.0f}, and img2img draws at most {most} pixels; use a smaller factor."
        )
        report.refuse("out_of_range", words, "upscale.upscaling_resize")


def _size_before(document: PackDocument) -> tuple[float, float]:
    """The size in which pictures reach the upscale stage."""
    section, later = document.txt2img, document.img2img
    width, height = float(section.width), float(section.height)
    if section.enable_hr and (section.hr_resize_x or section.hr_resize_y):
        x, y = section.hr_resize_x, section.hr_resize_y
        width, height = x or width * y / height, y or height * x / width
    elif section.enable_hr:
        width, height = width * section.hr_scale, height * section.hr_scale
    if document.pipeline.img2img_enabled:
        width, height = later.width or width, later.height or height
    return width, height


def _txt2img(section: Txt2ImgSection, report: Report) -> Txt2ImgParameters:
    sampler, scheduler = split_sampler(section.sampler_name, section.scheduler)
    if not _own(sampler):
        given, sampler = sampler, Txt2ImgSection().sampler_name
        words = f"txt2img.sampler_name is {given!r}, and no stage before has one; {sampler!r} is taken."
        report.warn("adjusted_value", words, "txt2img.sampler_name")
    hr_sampler, hr_scheduler = split_sampler(_own(section.hr_sampler_name), _own(section.hr_scheduler))
    switch_at = section.refiner_switch_at
    if section.refiner_switch_steps and section.steps > 0:
        switch_at = min(0.99, max(0.01, section.refiner_switch_steps / section.steps))
    return Txt2ImgParameters(
        steps=section.steps,
        cfg_scale=section.cfg_scale,
        width=section.width,
        height=section.height,
        sampler=sampler,
        scheduler=scheduler or DEFAULT_SCHEDULER,
        enable_hr=section.enable_hr,
        hr_scale=section.hr_scale,
        hr_upscaler=section.hr_upscaler,
        hr_second_pass_steps=section.hr_second_pass_steps,
        hr_resize_x=section.hr_resize_x,
        hr_resize_y=section.hr_resize_y,
        denoising_strength=section.denoising_strength,
        hr_sampler=hr_sampler,
        hr_scheduler=hr_scheduler,
        refiner_checkpoint=_own(section.refiner_checkpoint).strip() if section.use_refiner else "",
        refiner_switch_at=switch_at,
    )


def _img2img(section: Img2ImgSection, txt2img: Txt2ImgSection, first: Txt2ImgParameters) -> Img2ImgParameters:
    sampler, scheduler = _following(section.sampler_name, section.scheduler, first)
    return Img2ImgParameters(
        steps=section.steps,
        cfg_scale=section.cfg_scale,
        denoising_strength=section.denoising_strength,
        width=section.width,
        height=section.height,
        sampler=sampler,
        scheduler=scheduler,
        checkpoint=_own(section.model).strip(),
        vae=_own(section.vae).strip(),
        clip_skip=section.clip_skip or txt2img.clip_skip or None,
        seed=None if section.seed < 0 else section.seed,
    )


def _adetailer(section: ADetailerSection, first: Txt2ImgParameters) -> ADetailerParameters:
    return ADetailerParameters(
        face=_detailer_pass(section, "", first, section.face_enabled),
        hand=_detailer_pass(section, "hand_", first, section.hand_enabled),
    )


def _detailer_pass(
    section: ADetailerSection, prefix: str, first: Txt2ImgParameters, enabled: bool
) -> DetailerPass:
    own = {name: getattr(section, prefix + name) for name in DetailerPass.model_fields if name in _SHARED}
    sampler, scheduler = _following(
        getattr(section, f"{prefix}sampler_name"), getattr(section, f"{prefix}scheduler"), first
    )
    sized = getattr(section, f"{prefix}use_inpaint_width_height")
    return DetailerPass(
        **own,
        enabled=enabled,
        inpaint_width=getattr(section, f"{prefix}inpaint_width") if sized else 0,
        inpaint_height=getattr(section, f"{prefix}inpaint_height") if sized else 0,
        sampler=sampler,
        scheduler=scheduler,
    )


_SHARED: Final = frozenset(DetailerPass.model_fields) - {
    "enabled",
    "inpaint_width",
    "inpaint_height",
    "sampler",
    "scheduler",
}
"""Parameters of a pass that its settings give as they are."""


def _upscale(
    section: UpscaleSection, first: Txt2ImgParameters
) -> UpscaleParameters | UpscaleByImg2ImgParameters:
    if section.upscale_mode == "single":
        return UpscaleParameters(
            upscale_mode="single",
            upscaler=section.upscaler,
            upscaling_resize=section.upscaling_resize,
            resize_mode=0,
            gfpgan_visibility=section.gfpgan_visibility,
            codeformer_visibility=section.codeformer_visibility,
            codeformer_weight=section.codeformer_weight,
        )
    sampler, scheduler = _following(section.sampler_name, section.scheduler, first)
    return UpscaleByImg2ImgParameters(
        upscale_mode="img2img",
        upscaler=section.upscaler,
        upscaling_resize=section.upscaling_resize,
        steps=section.steps,
        cfg_scale=section.cfg_scale,
        denoising_strength=section.denoising_strength,
        sampler=sampler,
        scheduler=scheduler,
    )


def _following(sampler: str, scheduler: str, first: Txt2ImgParameters) -> tuple[str, str]:
    """Sampler and scheduler of a later stage: without a sampler, or where it says so, those of txt2img."""
    own, suffix = split_sampler(_own(sampler), _own(scheduler))
    if not own or scheduler.strip().lower() in SAME:
        return own or first.sampler, suffix or first.scheduler
    return own, suffix or DEFAULT_SCHEDULER


def _own(name: str) -> str:
    return "" if name.strip().lower() in SAME else name
