"""The check of results on what real servers answered: their silent substitutions drift, all else gives no alarm."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.truth.judge import Came, judge
from jobs.truth.look import is_plain_resize, look_at
from jobs.truth.outcomes import Judgement
from tests.contract.recorded_catalog import FOLDERS, listing_server
from tests.contract.recordings import ADDRESS, Exchange, load_exchange, names
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.vocabulary import VOCABULARY
from webui.work.catalog import Catalog
from webui.work.unit import Request

Payload = schemas.Txt2ImgRequest | schemas.Img2ImgRequest | schemas.ExtraSingleImageRequest
PAYLOADS: dict[str, type[Payload]] = {
    "txt2img": schemas.Txt2ImgRequest,
    "img2img": schemas.Img2ImgRequest,
    "extra-single-image": schemas.ExtraSingleImageRequest,
}

SUBSTITUTED = {
    "a1111/txt2img-unknown-scheduler": "Scheduler",
    "a1111/txt2img-unknown-lora": "LoRA nosuchlora",
    "a1111/txt2img-override-unknown-vae": "VAE",
    "a1111/txt2img-override-unknown-checkpoint": "Checkpoint",
    "a1111/extra-single-image-upscaler-not-downloaded": "Upscaler",
    "a1111/extra-single-image-200-none": "Enlarged",
    "a1111/txt2img-interrupted-n_iter-3": "Pictures",
    "forge/txt2img-unknown-scheduler": "Scheduler",
    "forge/txt2img-unknown-sampler": "Sampler",
    "forge/txt2img-override-unknown-checkpoint": "Checkpoint",
}
"""What each left out or replaced, and said nothing of."""


def payload_of(exchange: Exchange) -> Payload | None:
    """The request as our types have it; None where it is none of a picture, or none that we would send."""
    kind = PAYLOADS.get(exchange.request.path.rpartition("/")[2])
    response = exchange.response
    if (
        kind is None
        or response is None
        or response.status != 200
        or not isinstance(exchange.request.json, dict)
    ):
        return None
    always: dict[str, Any] = {"prompt": "", "steps": 50, "width": 512, "height": 512}
    always |= {"override_settings": {}, "force_task_id": "recorded"}
    sampled = kind is not schemas.ExtraSingleImageRequest
    if exchange.request.json.get("script_name"):
        return None
    try:
        payload = kind.model_validate((always if sampled else {}) | exchange.request.json)
    except ValidationError:
        return None
    answer = response.json if isinstance(response.json, dict) else {}
    return payload if answer.get("images") or answer.get("image") else None


def cases() -> Iterator[tuple[str, str]]:
    for dialect, folder in FOLDERS.items():
        for name in names(folder):
            if payload_of(load_exchange(name, folder)) is not None:
                yield dialect, name


CASES = list(cases())


@cache
def catalog_of(dialect: str) -> Catalog:
    with listing_server(dialect, {}):
        return DRIVER.connect(ADDRESS).catalog()


def request_of(payload: Payload) -> tuple[Request, bytes | None]:
    """As the driver makes it of a unit of work, and the picture that goes in."""
    body, source, size = payload.wire(), None, None
    count, enlarges, changes = 1, 1.0, False
    if isinstance(payload, schemas.ExtraSingleImageRequest):
        source = base64.b64decode(payload.image.rpartition(",")[2])
        enlarges = payload.upscaling_resize or 1.0 if payload.resize_mode == 0 else 1.0
    else:
        count = payload.batch_size * payload.n_iter
        size = payload.width, payload.height
        if isinstance(payload, schemas.Txt2ImgRequest) and payload.enable_hr:
            factor = payload.hr_scale or 2.0
            size = int(size[0] * factor), int(size[1] * factor)
        if isinstance(payload, schemas.Img2ImgRequest):
            source = base64.b64decode(payload.init_images[0].rpartition(",")[2])
            changes = int(payload.steps * (payload.denoising_strength or 0.0)) >= 1
    request = Request(
        stage=payload.endpoint.rpartition("/")[2],
        endpoint=payload.endpoint,
        body=body,
        pictures=count,
        vocabulary=VOCABULARY,
        samples=not isinstance(payload, schemas.ExtraSingleImageRequest),
        size_px=size,
        enlarges=enlarges,
        changes=changes,
    )
    return request, source


def judged(dialect: str, name: str) -> tuple[Judgement, ...]:
    exchange = load_exchange(name, FOLDERS[dialect])
    payload = payload_of(exchange)
    assert payload is not None
    assert exchange.response is not None
    request, source = request_of(payload)
    extras = not request.samples
    kind = schemas.ExtraSingleImageResponse if extras else schemas.GenerationResponse
    answer = kind.model_validate(exchange.response.json)
    pictures = (
        [answer.image]
        if isinstance(answer, schemas.ExtraSingleImageResponse)
        else answer.pictures(request.pictures)
    )
    came = []
    for content, told in zip(pictures, answer.told_of(request.pictures), strict=False):
        plain = is_plain_resize(source, content) if source and extras and request.enlarges > 1 else None
        came.append(Came(look_at(content), told, DRIVER.picture_facts(content), plain))
    return judge(
        DRIVER, request, came, catalog=catalog_of(dialect), source=look_at(source) if source else None
    )


def test_recordings_of_every_stage_are_judged() -> None:
    assert len(CASES) > 50
    assert {load_exchange(name, FOLDERS[dialect]).request.path for dialect, name in CASES} >= {
        "/sdapi/v1/txt2img",
        "/sdapi/v1/img2img",
        "/sdapi/v1/extra-single-image",
    }
    assert set(SUBSTITUTED) <= {f"{dialect}/{name}" for dialect, name in CASES}


@pytest.mark.parametrize(("dialect", "name"), CASES)
def test_recorded_answer_drifts_only_where_the_server_substituted(dialect: str, name: str) -> None:
    drifted = {row.field for judgement in judged(dialect, name) for row in judgement.drifts}
    substituted = SUBSTITUTED.get(f"{dialect}/{name}")
    assert drifted == ({substituted} if substituted else set())
