"""Relatives of A1111's WebUI: for each way in which they differ, what is sent and what is made of the answer."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from pydantic import TypeAdapter

from jobs.truth.judge import Came, judge
from jobs.truth.look import look_at
from jobs.truth.outcomes import CHECKPOINT, SIZE, FieldVerdict
from tests.unit.test_webui_errors import answer
from webui import errors
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.answers import error_of
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.quirks import BARE_500, QUIRKS
from webui.drivers.a1111.requests import request_of
from webui.drivers.a1111.server import A1111Server
from webui.http.answer import HttpAnswer
from webui.work.parameters import Txt2ImgParameters
from webui.work.unit import Work

TXT2IMG_PARAMETERS = Txt2ImgParameters(
    steps=20,
    cfg_scale=7.0,
    width=512,
    height=768,
    sampler="Euler",
    scheduler="Automatic",
    enable_hr=False,
    hr_scale=2.0,
    hr_upscaler="Latent",
    hr_second_pass_steps=0,
    hr_resize_x=0,
    hr_resize_y=0,
    denoising_strength=0.5,
    hr_sampler="",
    hr_scheduler="",
    refiner_checkpoint="",
    refiner_switch_at=0.8,
)
WORK = Work(
    stage="txt2img",
    parameters=TXT2IMG_PARAMETERS,
    prompt="a cat",
    negative_prompt="",
    parts={},
    seed=1,
    subseed=2,
    subseed_strength=0.0,
    images=(0,),
    checkpoint="flux",
    vae="",
    clip_skip=None,
    task_id="task",
)


def body_of(work: Work) -> Mapping[str, Any]:
    return request_of(work).body


class Relative(WebUIClient):
    """Answers each endpoint by its last word; what it is asked for is in `asked`."""

    def __init__(self, **answers: HttpAnswer) -> None:
        super().__init__("http://127.0.0.1:9")
        self.answers = answers
        self.asked: list[str] = []

    def _answer(self, method: str, endpoint: str, **_: Any) -> HttpAnswer:
        name = endpoint.rpartition("/")[2]
        if "internal" in endpoint:
            name = "internal"
        self.asked.append(name)
        return self.answers[name]


def json_of(status: int, payload: object) -> HttpAnswer:
    return answer(status, payload)


def progress(job_count: int) -> HttpAnswer:
    return json_of(200, {"progress": 0.1, "state": {"job_count": job_count}})


NOTHING = HttpAnswer(204, "", b"", elapsed_s=0.1)
OF_SDNEXT = json_of(
    200, {"active": False, "queued": False, "completed": False, "paused": False, "debug": False}
)


def hires_modules() -> None:
    hires = replace(WORK, parameters=TXT2IMG_PARAMETERS.model_copy(update={"enable_hr": True}))
    assert body_of(hires)["hr_additional_modules"] == ["Use same choices"]
    assert "hr_additional_modules" not in body_of(WORK)


def modules_beside_the_checkpoint() -> None:
    assert "forge_additional_modules" not in body_of(WORK)["override_settings"]
    named = body_of(replace(WORK, modules=("ae.safetensors", "t5xxl.safetensors")))["override_settings"]
    assert named["forge_additional_modules"] == ["ae.safetensors", "t5xxl.safetensors"]
    assert body_of(replace(WORK, modules=()))["override_settings"]["forge_additional_modules"] == []


def sizes_in_steps_of_64() -> None:
    request = replace(request_of(WORK), checkpoint="", size_px=(520, 768))
    [judgement] = judge(DRIVER, request, [Came(look_at(picture(512, 768)))])
    [size] = [one for one in judgement.fields if one.field == SIZE]
    assert size.outcome is FieldVerdict.VERIFIED
    assert (size.used, size.why) == ("512x768", "rounded by the server")


def bare_500() -> None:
    bare = HttpAnswer(500, "text/plain; charset=utf-8", b"Internal Server Error", elapsed_s=2.0)
    error = error_of(bare, {"prompt": "a cat"}, generates=True)
    assert type(error) is errors.WebUIServerError
    assert error.words == BARE_500


def unknown_sampler() -> None:
    refused = error_of(json_of(400, {"detail": "Sampler not found"}), {}, generates=True)
    assert type(refused) is errors.SamplerNotFoundError


def answered_204() -> None:
    relative = Relative(interrupt=NOTHING, skip=NOTHING)
    relative.interrupt()
    relative.skip()
    with pytest.raises(errors.WebUIBadAnswerError):
        Relative(progress=NOTHING).progress()


def no_task_ids() -> None:
    busy = Relative(progress=progress(1), internal=OF_SDNEXT, interrupt=NOTHING)
    server = A1111Server(DRIVER, busy)
    assert (server.is_running("task", alone=True), server.is_running("task", alone=False)) == (True, False)
    assert not server.end_leftover("task", alone=False)
    assert "interrupt" not in busy.asked
    assert not server.end_leftover("task", alone=True)
    assert "interrupt" in busy.asked
    idle = A1111Server(DRIVER, Relative(progress=progress(0), internal=OF_SDNEXT))
    assert idle.end_leftover("task", alone=False)


def no_checkpoint_in_info() -> None:
    read = TypeAdapter(schemas.GenerationResponse).validate_python
    for info, outcome in (
        ({"infotexts": ["a cat\nSteps: 20, Model: flux, Model hash: abc"]}, FieldVerdict.VERIFIED),
        ({"prompt": "a cat"}, FieldVerdict.NOT_TOLD),
    ):
        [facts] = read({"images": [base64.b64encode(picture(64, 64)).decode()], "info": info}).told_of(1)
        [judgement] = judge(DRIVER, request_of(WORK), [Came(look_at(picture(64, 64)), told=facts)])
        assert {one.outcome for one in judgement.fields if one.field == CHECKPOINT} == {outcome}


def errors_of_sdnext() -> None:
    error = error_of(json_of(500, "argument of type 'int' is not iterable"), {}, generates=True)
    assert (type(error), error.words) == (errors.WebUIServerError, "argument of type 'int' is not iterable")
    missing = error_of(json_of(404, {"error": "HTTPException", "code": 404, "detail": "Not Found"}), {})
    assert type(missing) is errors.WebUIEndpointMissingError


def picture(width_px: int, height_px: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width_px, height_px), "teal").save(file, "PNG")
    return file.getvalue()


CHECKS: dict[str, Callable[[], None]] = {
    "hires modules": hires_modules,
    "modules beside the checkpoint": modules_beside_the_checkpoint,
    "sizes in steps of 64": sizes_in_steps_of_64,
    "bare 500": bare_500,
    "unknown sampler": unknown_sampler,
    "204 without a body": answered_204,
    "no task ids": no_task_ids,
    "no checkpoint in info": no_checkpoint_in_info,
    "errors of SD.Next": errors_of_sdnext,
}


def test_every_quirk_has_a_check_and_a_source() -> None:
    assert list(CHECKS) == [quirk.name for quirk in QUIRKS]
    assert all("/" in quirk.source for quirk in QUIRKS)


@pytest.mark.parametrize("name", CHECKS)
def test_quirk_is_met(name: str) -> None:
    CHECKS[name]()
