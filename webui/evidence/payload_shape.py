"""The shape of a payload: what a request looked like, without anybody's text in it; texts are in `redaction`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from webui.drivers.a1111 import schemas

JsonValue = Any
Payload = BaseModel | Mapping[str, Any]

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

PLAIN_LIMIT = 160
"""Characters of a name that stays; nothing that the WebUI lists is longer, and it has one line."""

IMAGE_FIELDS: Final = frozenset({"image", "mask", "init_images", "imageList", "mask_image"})
IMAGE_STARTS = ("data:image/", "iVBORw0KGgo", "/9j/", "UklGR", "R0lGOD")
"""Base64 of PNG, JPEG, WebP and GIF begins so."""
LEAST_PICTURE = 100
"""Characters; anything shorter in the place of a picture is somebody's text."""

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


def redact_payload(payload: Payload) -> dict[str, JsonValue]:
    """The payload as JSON without anybody's text.

    A string becomes its length and SHA-256, a picture the size and SHA-256 of its bytes, and a key that no
    request of ours has becomes its hash; numbers, booleans and listed names stay.
    """
    return _Walk().request(payload)


def payload_keys(payload: Payload) -> tuple[str, ...]:
    """The names of the fields that were sent, in order, never a value."""
    return tuple(_Walk().request(payload))


def hidden_strings(payload: Payload) -> tuple[list[str], list[str]]:
    """What `redact_payload` hides: texts, and pictures in base64."""
    walk = _Walk()
    walk.request(payload)
    return walk.texts, walk.pictures


@dataclass(slots=True)
class _Walk:
    """Decides for each string of a payload, and remembers those that it hid."""

    texts: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    def request(self, payload: Payload) -> dict[str, JsonValue]:
        body = payload.model_dump(exclude_none=True) if isinstance(payload, BaseModel) else payload
        shaped = {}
        for key, value in body.items():
            if key == "override_settings" and isinstance(value, Mapping):
                shaped[key] = self._object(value, plain=PLAIN_OPTIONS)
            else:
                shaped[self._key(key)] = self._value(key, value, plain=PLAIN_FIELDS)
        return shaped

    def _object(self, value: Mapping[Any, Any], plain: frozenset[str]) -> dict[str, JsonValue]:
        return {self._key(key): self._value(key, one, plain) for key, one in value.items()}

    def _value(self, key: object, value: object, plain: frozenset[str]) -> JsonValue:
        """`plain` holds only at its own depth: further down the same key may be anybody's."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self._object(value, plain=frozenset())
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(key, one, plain=frozenset()) for one in value]
        if isinstance(value, bytes | bytearray):
            return _picture(bytes(value))
        text = value if isinstance(value, str) else str(value)
        if key in plain and len(text) <= PLAIN_LIMIT and text.isprintable():
            return text
        return self._hide(text, is_image=key in IMAGE_FIELDS)

    def _hide(self, text: str, *, is_image: bool) -> JsonValue:
        if text.startswith(IMAGE_STARTS) or (is_image and len(text) >= LEAST_PICTURE):
            try:
                picture = base64.b64decode(text.partition(";base64,")[2] or text, validate=True)
            except ValueError:
                pass
            else:
                self.pictures.append(text)
                return _picture(picture)
        self.texts.append(text)
        return {"length": len(text), "sha256": _sha256(text)}

    def _key(self, key: object) -> str:
        text = str(key)
        if text in KNOWN_KEYS:
            return text
        self.texts.append(text)
        return f"key of {len(text)} characters, sha256 {_sha256(text)}"


def _picture(picture: bytes) -> JsonValue:
    return {"size_bytes": len(picture), "sha256": hashlib.sha256(picture).hexdigest()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
