"""The complete, typed parameters of each kind of stage. Their ranges are in `jobs.records.stage_config`."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import Field

from webui.values import FrozenValue

SIZE_STEP_PX: Final = 8

ClipSkip = Annotated[int | None, Field(exclude_if=lambda clip_skip: clip_skip is None)]
"""The last layers of CLIP that are left out, counted from 1; None where nobody asked, and then it is not written."""

Modules = Annotated[tuple[str, ...] | None, Field(exclude_if=lambda modules: modules is None)]
"""Text encoders and VAEs beside the checkpoint, by name; empty = those inside of it. None where nobody asked."""


def nearest_size(pixels: float) -> int:
    """The nearest size that a server takes as it is; the larger one from half-way on."""
    return max(SIZE_STEP_PX, math.floor(pixels / SIZE_STEP_PX + 0.5) * SIZE_STEP_PX)


class Txt2ImgParameters(FrozenValue):
    """Prompts and seeds are the record's own; hires fix and refiner are part of this stage.

    The hires fix is off unless `enable_hr`. `hr_second_pass_steps` 0 repeats `steps`; `hr_resize_x` and
    `hr_resize_y` 0 mean "size times hr_scale"; `hr_sampler` and `hr_scheduler` "" repeat those of the first
    pass. `refiner_checkpoint` "" is no refiner; `refiner_switch_at` is the share of the steps after which it
    takes over.
    """

    steps: int
    cfg_scale: float
    width: int
    height: int
    sampler: str
    scheduler: str
    enable_hr: bool
    hr_scale: float
    hr_upscaler: str
    hr_second_pass_steps: int
    hr_resize_x: int
    hr_resize_y: int
    denoising_strength: float
    hr_sampler: str
    hr_scheduler: str
    refiner_checkpoint: str
    refiner_switch_at: float


class Img2ImgParameters(FrozenValue):
    """`width` or `height` 0 is that of the picture that comes in. `checkpoint` and `vae` "" are the record's;
    `clip_skip` None leaves the server's own.

    `seed` is that of the job's first picture, or None for the seed with which each picture was drawn.
    """

    steps: int
    cfg_scale: float
    denoising_strength: float
    width: int
    height: int
    sampler: str
    scheduler: str
    checkpoint: str
    vae: str
    clip_skip: ClipSkip = None
    seed: int | None


class DetailerPass(FrozenValue):
    """One pass of ADetailer: `model` finds regions, which are then drawn again. Blur and padding in pixels.

    `mask_k` 0 takes every region that was found. `inpaint_width` and `inpaint_height` 0 draw a region at the
    size of the picture.
    """

    enabled: bool
    model: str
    confidence: float
    mask_filter_method: Literal["Area", "Confidence"]
    mask_k: int
    mask_min_ratio: float
    mask_max_ratio: float
    dilate_erode: int
    mask_blur: int
    mask_merge_invert: Literal["None", "Merge", "Merge and Invert"]
    inpaint_only_masked: bool
    inpaint_padding: int
    inpaint_width: int
    inpaint_height: int
    steps: int
    cfg_scale: float
    denoising_strength: float
    sampler: str
    scheduler: str


class ADetailerParameters(FrozenValue):
    """The passes in the order in which they run; at least one is on."""

    face: DetailerPass
    hand: DetailerPass

    @property
    def first(self) -> DetailerPass:
        """The first pass that runs."""
        return self.face if self.face.enabled else self.hand


class UpscaleParameters(FrozenValue):
    """One picture at a time through the WebUI's extras; `upscaling_resize` multiplies both sides."""

    upscale_mode: Literal["single"]
    upscaler: str
    upscaling_resize: float
    resize_mode: Literal[0]
    gfpgan_visibility: float
    codeformer_visibility: float
    codeformer_weight: float


class UpscaleByImg2ImgParameters(FrozenValue):
    """The upscaler enlarges the picture, and img2img draws it again at the new size."""

    upscale_mode: Literal["img2img"]
    upscaler: str
    upscaling_resize: float
    steps: int
    cfg_scale: float
    denoising_strength: float
    sampler: str
    scheduler: str


class I2VParameters(FrozenValue):
    """A film that begins with its input picture. Ranges and defaults: `webui.work.limits.I2V`.

    Concrete: sizes are snapped and `num_frames` is a multiple of 4 and one more. `fit` says how a picture of another
    shape is brought to the size of the film. `model` "" takes the worker's.
    """

    width: int
    height: int
    num_frames: int
    fps: int
    steps: int
    cfg_scale: float
    boundary: float
    sigma_shift: float
    fit: Literal["crop", "pad"]
    model: str


class EditParameters(FrozenValue):
    """A picture made of its input pictures by an instruction. Ranges and defaults: `webui.work.limits.EDIT`."""

    width: int
    height: int
    steps: int
    cfg_scale: float
    scheduler: Literal["lightning", "default"]
    model: str


Parameters = (
    Txt2ImgParameters
    | Img2ImgParameters
    | ADetailerParameters
    | UpscaleParameters
    | UpscaleByImg2ImgParameters
    | I2VParameters
    | EditParameters
)
