"""A stage of a record: its parameters and the ranges that its server takes. Sending is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from webui.values import FrozenValue as FrozenValue
from webui.work.limits import EDIT, I2V, Choice, Limit
from webui.work.parameters import (
    SIZE_STEP_PX,
    ADetailerParameters,
    DetailerPass,
    EditParameters,
    I2VParameters,
    Img2ImgParameters,
    Parameters,
    Txt2ImgParameters,
    UpscaleByImg2ImgParameters,
    UpscaleParameters,
)

STAGES: Final = ("txt2img", "img2img", "adetailer", "upscale")
"""Every stage that makes pictures, in the order in which they run."""

WORKER_STAGES: Final = ("i2v", "edit")
"""The one stage of a film and of an edit, each named as its kind."""

STEPS_RANGE: Final = (1, 150)
CFG_SCALE_RANGE: Final = (0.1, 30.0)
SIZE_RANGE_PX: Final = (64, 4096)

Finding = tuple[str, str, str]
"""(code, field, words): why a value cannot be sent, before it is said where."""

P = TypeVar("P", bound=FrozenValue)

_KINDS: Final[Mapping[str, tuple[type[FrozenValue], ...]]] = {
    "txt2img": (Txt2ImgParameters,),
    "img2img": (Img2ImgParameters,),
    "adetailer": (ADetailerParameters,),
    "upscale": (UpscaleParameters, UpscaleByImg2ImgParameters),
    "i2v": (I2VParameters,),
    "edit": (EditParameters,),
}


class StageConfig(FrozenValue):
    """One link of the chain. A stage that is on has all its parameters; one that is off may have none."""

    stage: str
    enabled: bool
    parameters: Parameters | None

    def read(self, kind: type[P]) -> P:
        """The parameters of a stage of this kind; TypeError for any other."""
        if not isinstance(self.parameters, kind):
            raise TypeError(f"stage {self.stage} has no {kind.__name__}")
        return self.parameters

    @property
    def txt2img(self) -> Txt2ImgParameters:
        return self.read(Txt2ImgParameters)

    @property
    def img2img(self) -> Img2ImgParameters:
        return self.read(Img2ImgParameters)

    @property
    def adetailer(self) -> ADetailerParameters:
        return self.read(ADetailerParameters)

    @property
    def upscale(self) -> UpscaleParameters:
        return self.read(UpscaleParameters)

    @property
    def upscale_by_img2img(self) -> UpscaleByImg2ImgParameters | None:
        """The parameters of an upscale by img2img; None for one by extras."""
        return self.parameters if isinstance(self.parameters, UpscaleByImg2ImgParameters) else None


def stage_problems(stage: StageConfig) -> list[Finding]:
    """(code, parameter, words) for each parameter of an enabled stage that its server would refuse or bend."""
    parameters = stage.parameters
    if parameters is None or not isinstance(parameters, _KINDS.get(stage.stage, ())):
        return [("missing_parameters", "parameters", f"stage {stage.stage} is on but has no parameters.")]
    if isinstance(parameters, ADetailerParameters):
        return list(_detailer_problems(parameters))
    found = list(_problems(parameters, _CHECKS[type(parameters)]))
    if isinstance(parameters, Txt2ImgParameters):
        if parameters.enable_hr:
            found += _problems(parameters, _HIRES_CHECKS)
        if parameters.refiner_checkpoint:
            found += _problems(parameters, _REFINER_CHECKS)
    return found


def _problems(parameters: FrozenValue, checks: Mapping[str, _Check], prefix: str = "") -> Iterator[Finding]:
    for name, check in checks.items():
        words = check(getattr(parameters, name))
        if words:
            code = "missing_" + name if words == _MISSING else "out_of_range"
            yield code, prefix + name, f"{prefix}{name} {words}"


def _detailer_problems(parameters: ADetailerParameters) -> Iterator[Finding]:
    if not (parameters.face.enabled or parameters.hand.enabled):
        yield "missing_parameters", "face_enabled", "face_enabled and hand_enabled are both off."
    for prefix, one in (("", parameters.face), ("hand_", parameters.hand)):
        if one.enabled:
            yield from _problems(one, _CHECKS[DetailerPass], prefix)


_Check = Callable[[Any], str]
_MISSING: Final = "is missing."


def _within(low: float, high: float) -> _Check:
    def check(value: float) -> str:
        return "" if low <= value <= high else f"{value} is outside {low:g}-{high:g}."

    return check


def _within_if_named(low: float, high: float) -> _Check:
    check = _within(low, high)
    return lambda value: "" if value is None else check(value)


def _size(value: int) -> str:
    low, high = SIZE_RANGE_PX
    if not low <= value <= high:
        return f"{value} is outside {low}-{high} pixels."
    if value % SIZE_STEP_PX:
        down = value - value % SIZE_STEP_PX
        return f"{value} is not a multiple of {SIZE_STEP_PX}; use {max(down, low)} or {down + SIZE_STEP_PX}."
    return ""


def _size_or_zero(value: int) -> str:
    return _size(value) if value else ""


def _named(value: str) -> str:
    return "" if value.strip() else _MISSING


def limited(limit: Limit | Choice) -> _Check:
    """The check of a concrete value by the table of films and edits; `AUTO` is none."""

    def check(value: Any) -> str:
        if isinstance(limit, Choice):
            return "" if value in limit.values else f"{value} is not one of {', '.join(limit.values)}."
        if not limit.low <= value <= limit.high:
            unit = f" {limit.unit}" if limit.unit else ""
            return f"{value} is outside {limit.low:,}-{limit.high:,}{unit}."
        if limit.step and (near := limit.snapped(value)) != value:
            return f"{value} is not a size that the model takes; use {near}."
        return ""

    return check


_SAMPLING: Final[Mapping[str, _Check]] = {
    "steps": _within(*STEPS_RANGE),
    "cfg_scale": _within(*CFG_SCALE_RANGE),
    "sampler": _named,
}
_REDRAWING: Final[Mapping[str, _Check]] = {**_SAMPLING, "denoising_strength": _within(0, 1)}

_CHECKS: Final[Mapping[type[FrozenValue], Mapping[str, _Check]]] = {
    Txt2ImgParameters: {**_SAMPLING, "width": _size, "height": _size},
    Img2ImgParameters: {
        **_REDRAWING,
        "width": _size_or_zero,
        "height": _size_or_zero,
        "clip_skip": _within_if_named(1, 12),
    },
    DetailerPass: {
        **_REDRAWING,
        "model": _named,
        "confidence": _within(0, 1),
        "mask_k": _within(0, 100),
        "mask_min_ratio": _within(0, 1),
        "mask_max_ratio": _within(0, 1),
        "dilate_erode": _within(-128, 128),
        "mask_blur": _within(0, 64),
        "inpaint_padding": _within(0, 256),
        "inpaint_width": _size_or_zero,
        "inpaint_height": _size_or_zero,
    },
    UpscaleParameters: {
        "upscaler": _named,
        "upscaling_resize": _within(1, 8),
        "gfpgan_visibility": _within(0, 1),
        "codeformer_visibility": _within(0, 1),
        "codeformer_weight": _within(0, 1),
    },
    UpscaleByImg2ImgParameters: {**_REDRAWING, "upscaler": _named, "upscaling_resize": _within(1, 8)},
    I2VParameters: {name: limited(limit) for name, limit in I2V.items()},
    EditParameters: {name: limited(limit) for name, limit in EDIT.items()},
}

_HIRES_CHECKS: Final[Mapping[str, _Check]] = {
    "hr_upscaler": _named,
    "hr_scale": _within(1, 4),
    "hr_second_pass_steps": _within(0, STEPS_RANGE[1]),
    "hr_resize_x": _size_or_zero,
    "hr_resize_y": _size_or_zero,
    "denoising_strength": _within(0, 1),
}
_REFINER_CHECKS: Final[Mapping[str, _Check]] = {"refiner_switch_at": _within(0.01, 0.99)}
