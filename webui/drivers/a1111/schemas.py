"""Requests to a WebUI and their answers, names exactly as on the wire; its lists are in `listings`."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from webui.drivers.a1111.infotext import facts_of
from webui.drivers.a1111.told_fields import info_fields, notes_of
from webui.http.json_body import read_json
from webui.work.pictures import NoPictureError, read_header
from webui.work.told import PictureFacts

_DATA_URI = re.compile(r"\s{0,10}data:[^,]{0,200};base64,", re.ASCII | re.IGNORECASE)


def decode_image(value: object) -> object:
    """Bytes of a base64 picture, with or without a `data:` prefix; raises ValueError if it is not one."""
    if not isinstance(value, str):
        return value
    prefix = _DATA_URI.match(value)
    text = value[prefix.end() :] if prefix else value
    try:
        image = base64.b64decode(text, validate=True)
    except ValueError:
        image = _decode_lines(text)
    if not image:
        raise ValueError("an empty picture")
    return image


def _decode_lines(text: str) -> bytes:
    """Base64 in lines, as many encoders write it."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as exc:
        raise ValueError(f"not base64 ({exc})") from exc


def encode_image(image: bytes) -> str:
    """Base64 without a prefix, as the WebUI takes and gives pictures."""
    return base64.b64encode(image).decode("ascii")


WireImage = Annotated[bytes, BeforeValidator(decode_image)]


def _info_object(value: object) -> object:
    """The info is JSON within a string. What cannot be read tells nothing; the pictures beside it count."""
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError:
            return {}
    return value if isinstance(value, (dict, BaseModel)) else {}


def _or_untold(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    try:
        return validate(value)
    except ValidationError:
        return None


def _or_empty(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    return _or_untold(value, validate) or []


T = TypeVar("T")
Told = Annotated[T | None, WrapValidator(_or_untold)]
"""A field of an answer that decides nothing: of another type than it should have, it is as if it were not there."""
ToldList = Annotated[list[T], WrapValidator(_or_empty)]


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
    forge_additional_modules: list[str] | None = None


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

    prompt: Told[str] = None
    negative_prompt: Told[str] = None
    seed: Told[int] = None
    all_seeds: ToldList[int] = []
    subseed: Told[int] = None
    all_subseeds: ToldList[int] = []
    all_prompts: ToldList[str] = []
    width: Told[int] = None
    height: Told[int] = None
    sampler_name: Told[str] = None
    steps: Told[int] = None
    cfg_scale: Told[float] = None
    sd_model_name: Told[str] = None
    sd_model_hash: Told[str] = None
    sd_vae_name: Told[str] = None
    sd_vae_hash: Told[str] = None
    clip_skip: Told[int] = None
    index_of_first_image: Told[Annotated[int, Field(ge=0)]] = None
    infotexts: ToldList[str] = []
    job_timestamp: Told[str] = None
    version: Told[str] = None
    subseed_strength: Told[float] = None
    denoising_strength: Told[float] = None
    extra_generation_params: Told[dict[str, Any]] = None

    def of_picture(self, place: int) -> dict[str, str]:
        """What it tells of the picture at this place, by the names of the infotext."""
        return info_fields({name: getattr(self, name) for name in self.model_fields_set}, place)


class GenerationResponse(WireAnswer):
    """`images` are decoded; `parameters` only repeat the request, so what was used is in `info`."""

    images: list[WireImage]
    parameters: Any = None
    info: Annotated[GenerationInfo, BeforeValidator(_info_object)] = GenerationInfo()

    def pictures(self, count: int) -> tuple[bytes, ...]:
        """At most `count` pictures in order, without the grid before them and what scripts add behind."""
        first = self.first_picture(count)
        return tuple(self.images[first : first + count])

    def first_picture(self, count: int) -> int:
        """Where the pictures begin. An answer that does not say so may have the grid before them: it alone differs."""
        told = self.info.index_of_first_image
        if told is not None and not 0 <= told < len(self.images):
            told = None
        if told is not None or count < 2 or len(self.images) <= count:
            return told or 0
        first, *others = (_size_of(image) for image in self.images[: count + 1])
        return int(first != others[0] and len(set(others)) == 1)

    def told_of(self, count: int) -> tuple[PictureFacts, ...]:
        """What the answer says of each picture; of pictures without metadata nothing else is known."""
        texts, seeds = self.info.infotexts, self.info.all_seeds
        # The grid has an infotext of its own before those of the pictures.
        first = self.first_picture(count)
        texts = texts[first:] if len(texts) >= first + count else texts
        if not seeds and self.info.seed is not None:
            seeds = [self.info.seed]
        facts = (facts_of(_at(texts, place) or "", _at(seeds, place)) for place in range(count))
        return tuple(replace(one, info=self.info.of_picture(place)) for place, one in enumerate(facts))


def _at(items: Sequence[T], place: int) -> T | None:
    return items[place] if place < len(items) else None


def _size_of(image: bytes) -> tuple[int, int] | None:
    try:
        header = read_header(image)
    except NoPictureError:
        return None
    return header.width_px, header.height_px


class ExtraSingleImageResponse(WireAnswer):
    image: WireImage
    html_info: Any = ""

    def told_of(self, count: int) -> tuple[PictureFacts, ...]:
        """What the answer says of its picture."""
        return (PictureFacts(info=notes_of(self.html_info)),)
