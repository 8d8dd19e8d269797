"""A request from a file, proved to be one of ours: it comes from anybody, and must make a WebUI do nothing but draw.

What a WebUI would do with other fields: fetch pictures from addresses, write files, run scripts, change its options.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from webui.drivers.a1111.client import Payload
from webui.drivers.a1111.requests import ADETAILER, request_for
from webui.drivers.a1111.schemas import (
    ExtraSingleImageRequest,
    GenerationRequest,
    Img2ImgRequest,
    Txt2ImgRequest,
    decode_image,
)
from webui.drivers.a1111.vocabulary import KNOWN_KEYS
from webui.work.pictures import NoPictureError, read_header
from webui.work.unit import Request, body_sha256

KINDS: Final[tuple[type[Txt2ImgRequest | Img2ImgRequest | ExtraSingleImageRequest], ...]] = (
    Txt2ImgRequest,
    Img2ImgRequest,
    ExtraSingleImageRequest,
)
MOST_STEPS: Final = 150
MOST_SIDE_PX: Final = 16_384
MOST_PIXELS: Final = 64_000_000
"""Of a picture that is sent: a small file may be a huge one."""
MOST_PICTURES: Final = 100
NEVER_SENT: Final = frozenset({"styles", "script_name", "script_args"})


def restored_request(stage: str, endpoint: str, body: Mapping[str, Any]) -> Request:
    """See `webui.driver.Driver.restore`."""
    kind = next((one for one in KINDS if one.endpoint == endpoint), None)
    if kind is None:
        known = ", ".join(one.endpoint for one in KINDS)
        raise ValueError(f"it goes to {endpoint[:100]!r}; requests of jobs go to {known}")
    unknown = sorted(set(_keys(body)) - KNOWN_KEYS | body.keys() & NEVER_SENT)
    if unknown:
        raise ValueError(f"it has the field {unknown[0][:100]!r}, which no request of a job has")
    try:
        payload: Payload = kind.model_validate(body)
    except ValidationError as exc:
        wrong = exc.errors(include_input=False, include_url=False)[0]
        raise ValueError(f"its field {'.'.join(map(str, wrong['loc']))} is wrong: {wrong['msg']}") from None
    if payload.wire() != body:
        raise ValueError("its fields are not written as a request of a job writes them")
    body_sha256(body)  # of what is no JSON, such as an infinite number, there is none
    pictures = [_picture(text) for text in _pictures_sent(payload)]
    if isinstance(payload, GenerationRequest):
        _require_bounds(payload)
    request = request_for(payload, pictures[0] if pictures else None, stage=stage)
    if request.size_px is not None and max(request.size_px) > MOST_SIDE_PX:
        width, height = request.size_px
        raise ValueError(f"it asks for {width} x {height} pixels; at most {MOST_SIDE_PX} a side are sent")
    return request


def _keys(value: object) -> Iterator[str]:
    """Every key at every depth."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key)
            yield from _keys(one)
    elif isinstance(value, list):
        for one in value:
            yield from _keys(one)


def _require_bounds(payload: GenerationRequest) -> None:
    if payload.save_images or not payload.send_images:
        raise ValueError("it asks the server to keep its pictures; requests of jobs have them sent")
    if set(payload.alwayson_scripts or {}) - {ADETAILER}:
        raise ValueError(f"it runs an extension other than {ADETAILER}")
    if payload.steps > MOST_STEPS or payload.expected_pictures > MOST_PICTURES:
        raise ValueError(f"it asks for more than {MOST_STEPS} steps or {MOST_PICTURES} pictures")


def _pictures_sent(payload: Payload) -> list[str]:
    if isinstance(payload, ExtraSingleImageRequest):
        return [payload.image]
    if isinstance(payload, Img2ImgRequest):
        return [*payload.init_images, *([payload.mask] if payload.mask else [])]
    return []


def _picture(text: str) -> bytes:
    """A server fetches what is no base64 from wherever it points to."""
    try:
        content = decode_image(text)
        assert isinstance(content, bytes)
        header = read_header(content)
    except (NoPictureError, ValueError) as exc:
        raise ValueError(f"a picture that it sends is none ({exc})") from None
    if header.width_px * header.height_px > MOST_PIXELS:
        raise ValueError(
            f"a picture that it sends has {header.width_px} x {header.height_px} pixels, too many"
        )
    return content
