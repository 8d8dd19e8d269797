"""Requests to a WebUI and their answers, names exactly as on the wire; its lists are in `listings`."""

import base64
import binascii
import json
import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.ASCII)


def decode_image(value: object) -> object:
    """Bytes of a base64 picture, with or without a `data:` prefix; raises ValueError if it is not one."""
    if not isinstance(value, str):
        return value
    prefix = _DATA_URI.match(value)
    try:
        image = base64.b64decode(value[prefix.end() :] if prefix else value, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"not base64 ({exc})") from exc
    if not image:
        raise ValueError("an empty picture")
    return image


def encode_image(image: bytes) -> str:
    """Base64 without a prefix, as the WebUI takes and gives pictures."""
    return base64.b64encode(image).decode("ascii")


def _parse_json_string(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


WireImage = Annotated[bytes, BeforeValidator(decode_image)]


class WireRequest(BaseModel):
    """A request body. Unknown fields are refused here because the WebUI ignores them silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    def wire(self) -> dict[str, Any]:
        """The JSON object to send: None means that the WebUI's own default holds."""
        return self.model_dump(mode="json", exclude_none=True)


class WireAnswer(BaseModel):
    """An answer's body. Relatives of the WebUI add fields, so unknown ones are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class OverrideSettings(WireRequest):
    """Options that hold for one request; a checkpoint named anywhere else in it would be ignored silently."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, protected_namespaces=())

    sd_model_checkpoint: str | None = None
    sd_vae: str | None = None
    CLIP_stop_at_last_layers: int | None = Field(default=None, ge=1, le=12)


class AlwaysOnScript(WireRequest):
    args: list[Any] = []


class GenerationRequest(WireRequest):
    """What txt2img and img2img share. `force_task_id` is how a later interrupt can know its own request."""

    prompt: str
    negative_prompt: str = ""
    override_settings: OverrideSettings
    override_settings_restore_afterwards: bool = True
    force_task_id: str
    send_images: bool = True
    save_images: bool = False
    styles: list[str] | None = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float | None = None
    seed_resize_from_h: int | None = None
    seed_resize_from_w: int | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = Field(default=1, ge=1)
    n_iter: int = Field(default=1, ge=1)
    steps: int = Field(ge=1)
    cfg_scale: float = 7.0
    distilled_cfg_scale: float | None = None
    width: int = Field(ge=8)
    height: int = Field(ge=8)
    restore_faces: bool | None = None
    tiling: bool | None = None
    denoising_strength: float | None = Field(default=None, ge=0, le=1)
    eta: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    script_name: str | None = None
    script_args: list[Any] | None = None
    alwayson_scripts: dict[str, AlwaysOnScript] | None = None

    @property
    def expected_pictures(self) -> int:
        """Pictures that a complete answer holds, the grid not counted."""
        return self.batch_size * self.n_iter if self.send_images else 0


class Txt2ImgRequest(GenerationRequest):
    endpoint: ClassVar[str] = "/sdapi/v1/txt2img"

    enable_hr: bool = False
    hr_scale: float | None = None
    hr_upscaler: str | None = None
    hr_second_pass_steps: int | None = None
    hr_resize_x: int | None = None
    hr_resize_y: int | None = None
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = None
    hr_negative_prompt: str | None = None
    hr_cfg: float | None = None
    hr_distilled_cfg: float | None = None
    hr_additional_modules: list[str] | None = None


class Img2ImgRequest(GenerationRequest):
    """`init_images` and `mask` are base64, see `encode_image`; more of them than batch_size is refused."""

    endpoint: ClassVar[str] = "/sdapi/v1/img2img"

    init_images: list[str] = Field(min_length=1)
    mask: str | None = None
    resize_mode: int | None = None
    mask_blur: int | None = None
    mask_blur_x: int | None = None
    mask_blur_y: int | None = None
    inpainting_fill: int | None = None
    inpaint_full_res: bool | None = None
    inpaint_full_res_padding: int | None = None
    inpainting_mask_invert: int | None = None
    initial_noise_multiplier: float | None = None
    include_init_images: bool | None = None


class ExtraSingleImageRequest(WireRequest):
    """`image` is base64. resize_mode 0 scales by `upscaling_resize`, 1 fits into the two sizes given."""

    endpoint: ClassVar[str] = "/sdapi/v1/extra-single-image"

    image: str = Field(min_length=1)
    upscaler_1: str
    resize_mode: int = Field(default=0, ge=0, le=1)
    upscaling_resize: float | None = Field(default=None, gt=0)
    upscaling_resize_w: int | None = Field(default=None, ge=1)
    upscaling_resize_h: int | None = Field(default=None, ge=1)
    upscaling_crop: bool | None = None
    upscaler_2: str | None = None
    extras_upscaler_2_visibility: float | None = None
    gfpgan_visibility: float | None = None
    codeformer_visibility: float | None = None
    codeformer_weight: float | None = None
    upscale_first: bool | None = None


class GenerationInfo(WireAnswer):
    """What the WebUI truly used. `width` and `height` are those of the request, not of the picture."""

    prompt: str = ""
    negative_prompt: str | None = None
    seed: int | None = None
    all_seeds: list[int] = []
    subseed: int | None = None
    all_subseeds: list[int] = []
    all_prompts: list[str] = []
    width: int | None = None
    height: int | None = None
    sampler_name: str | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sd_model_name: str | None = None
    sd_model_hash: str | None = None
    sd_vae_name: str | None = None
    sd_vae_hash: str | None = None
    clip_skip: int | None = None
    index_of_first_image: int = Field(default=0, ge=0)
    infotexts: list[str] = []
    job_timestamp: str | None = None
    version: str | None = None

    def rendered_by(self, checkpoint: str) -> bool:
        """Whether `checkpoint` (a title, file name, path, bare name or hash) is the one that was used.

        An unknown checkpoint in the override settings answers 200 with the current one's picture.
        """
        title = re.fullmatch(r"(.*?)(?: \[(\w+)\])?", checkpoint.strip(), re.DOTALL)
        name, short_hash = title.groups() if title else (checkpoint, None)
        used_hash = (self.sd_model_hash or "").lower()
        if used_hash and short_hash:
            return short_hash.lower().startswith(used_hash) or used_hash.startswith(short_hash.lower())
        base = re.split(r"[\\/]", name)[-1]
        stem = re.sub(r"\.(safetensors|ckpt|gguf|pt|bin)$", "", base, flags=re.IGNORECASE)
        return stem == self.sd_model_name or bool(used_hash and stem.lower() == used_hash)


class GenerationResponse(WireAnswer):
    """`images` are decoded; `parameters` only repeat the request, so what was used is in `info`."""

    images: list[WireImage]
    parameters: dict[str, Any] = Field(default_factory=dict)
    info: Annotated[GenerationInfo, BeforeValidator(_parse_json_string)]

    def pictures(self, count: int) -> tuple[bytes, ...]:
        """At most `count` pictures in order, without the grid before them and what scripts add behind."""
        first = self.info.index_of_first_image
        return tuple(self.images[first : first + count])


class ExtraSingleImageResponse(WireAnswer):
    image: WireImage
    html_info: str = ""


class ProgressState(WireAnswer):
    """Flags and sampling_steps of the last job stay visible when idle: look at job_count, never at them."""

    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = ""
    job_count: int = 0
    job_timestamp: str = ""
    job_no: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0


class WireProgress(WireAnswer):
    """`progress` is 0-1 and falls back to 0 at the end; it cannot tell whose request is running."""

    progress: float
    eta_relative: float = 0.0
    state: ProgressState
    current_image: str | None = None
    textinfo: str | None = None


class InternalProgressRequest(WireRequest):
    id_task: str
    live_preview: bool = False
    id_live_preview: int = -1


class InternalProgress(WireAnswer):
    """Of one task id. A request that failed stays active until the next one starts."""

    active: bool
    queued: bool
    completed: bool
    progress: float | None = None
    eta: float | None = None
    live_preview: str | None = None
    id_live_preview: int | None = None
    textinfo: str | None = None
