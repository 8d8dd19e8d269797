"""A request from a file is one that a job could have sent, or it is refused: a file comes from anybody."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from PIL import Image

from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.requests import ADETAILER
from webui.work.unit import body_sha256


def picture(width_px: int = 64, height_px: int = 48) -> str:
    buffer = io.BytesIO()
    Image.new("1", (width_px, height_px)).save(buffer, "PNG")
    return b64encode(buffer.getvalue()).decode()


def txt2img(**fields: Any) -> dict[str, Any]:
    body = {
        "prompt": "a castle",
        "negative_prompt": "",
        "override_settings": {"sd_model_checkpoint": "castle_v3"},
        "override_settings_restore_afterwards": True,
        "force_task_id": "stablenew-1-0-0-abc",
        "send_images": True,
        "save_images": False,
        "seed": 7,
        "subseed": 8,
        "batch_size": 1,
        "n_iter": 2,
        "steps": 20,
        "cfg_scale": 7.0,
        "width": 512,
        "height": 384,
        "enable_hr": False,
    }
    return body | fields


def img2img(**fields: Any) -> dict[str, Any]:
    body = txt2img(init_images=[picture()], n_iter=1)
    del body["enable_hr"]
    return body | fields


EXTRAS = {"image": picture(), "upscaler_1": "Lanczos", "resize_mode": 0, "upscaling_resize": 2.0}


def test_a_request_of_ours_comes_back_as_it_was_with_what_must_be_answered() -> None:
    body = txt2img()
    request = DRIVER.restore("txt2img", "/sdapi/v1/txt2img", body)
    assert (request.body, request.sha256) == (body, body_sha256(body))
    assert (request.pictures, request.size_px, request.checkpoint) == (2, (512, 384), "castle_v3")
    assert (request.samples, request.task_id) == (True, "stablenew-1-0-0-abc")
    upscale = DRIVER.restore("upscale", "/sdapi/v1/extra-single-image", EXTRAS)
    assert (upscale.pictures, upscale.size_px, upscale.samples) == (1, (128, 96), False)


def test_equal_bodies_have_one_hash_however_they_are_written() -> None:
    body = txt2img(prompt="Straße 城")
    shuffled = dict(reversed(list(body.items())))
    assert body_sha256(body) == body_sha256(json.loads(json.dumps(shuffled, indent=3)))
    assert body_sha256(body) != body_sha256(txt2img())


REFUSED: dict[str, tuple[str, Callable[[], Mapping[str, Any]], str]] = {
    "another endpoint": ("/sdapi/v1/options", dict, "it goes to '/sdapi/v1/options'"),
    "an address": ("http://10.0.0.1/sdapi/v1/txt2img", txt2img, "it goes to 'http://10.0.0.1"),
    "a path upwards": ("/sdapi/v1/../v1/txt2img", txt2img, "it goes to"),
    "an unknown field": ("/sdapi/v1/txt2img", lambda: txt2img(firstpass_image="x"), "firstpass_image"),
    "a script": ("/sdapi/v1/txt2img", lambda: txt2img(script_name="x/y/z plot"), "script_name"),
    "a style": ("/sdapi/v1/txt2img", lambda: txt2img(styles=["mine"]), "styles"),
    "an option of the server": (
        "/sdapi/v1/txt2img",
        lambda: txt2img(override_settings={"outdir_samples": "/etc"}),
        "outdir_samples",
    ),
    "another extension": (
        "/sdapi/v1/txt2img",
        lambda: txt2img(alwayson_scripts={"ControlNet": {"args": []}}),
        "ControlNet",
    ),
    "pictures kept by the server": (
        "/sdapi/v1/txt2img",
        lambda: txt2img(save_images=True),
        "keep its pictures",
    ),
    "steps without end": ("/sdapi/v1/txt2img", lambda: txt2img(steps=10**6), "more than 150 steps"),
    "pictures without end": ("/sdapi/v1/txt2img", lambda: txt2img(n_iter=10**6), "100 pictures"),
    "a picture of any size": ("/sdapi/v1/txt2img", lambda: txt2img(width=10**6), "pixels"),
    "a word for a number": ("/sdapi/v1/txt2img", lambda: txt2img(steps="many"), "its field steps is wrong"),
    "a picture at an address": (
        "/sdapi/v1/img2img",
        lambda: img2img(init_images=["http://169.254.169.254/latest"]),
        "a picture that it sends is none",
    ),
    "a picture that is a bomb": (
        "/sdapi/v1/img2img",
        lambda: img2img(init_images=[picture(20_000, 20_000)]),
        "too many",
    ),
    "a number that is none": (
        "/sdapi/v1/img2img",
        lambda: img2img(alwayson_scripts={ADETAILER: {"args": [float("inf")]}}),
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_job_sends_is_refused_in_words(name: str) -> None:
    endpoint, make, words = REFUSED[name]
    with pytest.raises(ValueError, match=r".") as caught:
        DRIVER.restore("txt2img", endpoint, make())
    assert words in str(caught.value)
