"""Films and edits as jobs of a worker: their bodies, what is proved of a written-down one, what is told of a result."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from webui.drivers.diffsynth.answers import error_of
from webui.drivers.diffsynth.driver import DRIVER
from webui.drivers.diffsynth.used import picture_facts
from webui.errors import (
    InvalidImageError,
    RequestValidationError,
    WebUIAuthError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIGatewayError,
    WebUIRequestTooLargeError,
    WebUIServerError,
    WebUITransientError,
)
from webui.http.answer import HttpAnswer
from webui.work.parameters import EditParameters, I2VParameters, Parameters
from webui.work.told import PictureFacts
from webui.work.unit import Work

FILM = I2VParameters(
    width=832, height=480, num_frames=81, fps=16, steps=8, cfg_scale=1.0, boundary=0.9, sigma_shift=5.0,
    fit="crop", model="wan",
)  # fmt: skip
EDIT = EditParameters(width=0, height=0, steps=4, cfg_scale=1.0, scheduler="lightning", model="")


def work(stage: str, parameters: Parameters, *inputs: bytes, **changes: Any) -> Work:
    given: dict[str, Any] = {
        "prompt": "a boat moves", "negative_prompt": "fog", "parts": {}, "seed": 7, "subseed": 0,
        "subseed_strength": 0.0, "images": (0,), "checkpoint": "", "vae": "", "clip_skip": None, "task_id": "t-1",
    }  # fmt: skip
    return Work(stage=stage, parameters=parameters, inputs=inputs, **{**given, **changes})


def test_a_film_names_its_picture_by_hash_and_carries_it_beside() -> None:
    request = DRIVER.request(work("i2v", FILM, b"picture"))
    assert request.body == {
        "inputs": [hashlib.sha256(b"picture").hexdigest()],
        "prompt": "a boat moves",
        "negative_prompt": "fog",
        "seed": 7,
        **FILM.model_dump(),
    }
    assert (request.endpoint, request.task_id, request.pictures, request.samples) == ("/jobs", "t-1", 1, True)
    assert (request.uploads, request.source, request.changes) == ((b"picture",), b"picture", False)
    assert (request.size_px, request.frames, request.fps, request.checkpoint) == ((832, 480), 81, 16, "wan")
    assert "b'picture'" not in repr(request)
    assert set(request.body) <= request.vocabulary.keys


def test_equal_work_has_equal_bodies_whatever_its_id() -> None:
    one, other = (DRIVER.request(work("i2v", FILM, b"p", task_id=name)) for name in ("a", "b"))
    assert one.sha256 == other.sha256


def test_an_edit_takes_several_pictures_and_may_follow_their_size() -> None:
    request = DRIVER.request(work("edit", EDIT, b"a", b"b"))
    assert len(request.body["inputs"]) == 2
    assert (request.size_px, request.frames, request.fps) == (None, 0, 0)


@pytest.mark.parametrize(
    "given",
    [
        work("i2v", FILM),
        work("i2v", FILM, b"a", b"b"),
        work("edit", EDIT, *[b"a"] * 5),
        work("i2v", EDIT, b"a"),
        work("txt2img", FILM, b"a"),
        work("i2v", FILM, b"a", images=(0, 1)),
    ],
)
def test_work_that_no_worker_can_do_is_refused(given: Work) -> None:
    with pytest.raises(ValueError, match=r"DiffSynth|takes 1 to"):
        DRIVER.request(given)


# --- written down ---------------------------------------------------------------------------------------


def body(**changes: Any) -> dict[str, Any]:
    written = json.loads(json.dumps(DRIVER.request(work("i2v", FILM, b"picture")).body))
    return {**written, **changes}


def test_a_written_down_request_is_the_same_without_its_pictures() -> None:
    request = DRIVER.restore("i2v", "/jobs", body())
    assert request.sha256 == DRIVER.request(work("i2v", FILM, b"picture")).sha256
    assert (request.uploads, request.source, request.frames) == ((), None, 81)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shell": "rm"}, "has the field 'shell'"),
        ({"steps": 101}, "its field steps is 101; 1-100 are sent"),
        ({"num_frames": True}, "num_frames is wrong"),
        ({"width": 10_000}, "its field width"),
        ({"fit": "stretch"}, "fit is wrong"),
        ({"prompt": "x" * 501}, "prompt is no text of at most 500"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"inputs": ["../../etc/passwd"]}, "no list of SHA-256"),
        ({"inputs": []}, "takes 1 to 1 input pictures"),
        ({"model": "x" * 301}, "longer than any"),
    ],
)
def test_a_request_that_we_would_not_make_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DRIVER.restore("i2v", "/jobs", body(**changes))


def test_a_request_that_goes_elsewhere_or_lacks_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="films and edits go to /jobs"):
        DRIVER.restore("i2v", "/sdapi/v1/txt2img", body())
    lacking = body()
    del lacking["seed"]
    with pytest.raises(ValueError, match="lacks the field 'seed'"):
        DRIVER.restore("i2v", "/jobs", lacking)


# --- what is told ---------------------------------------------------------------------------------------


def test_a_setting_that_was_used_otherwise_is_contradicted() -> None:
    request = DRIVER.request(work("i2v", FILM, b"p"))
    told = PictureFacts(
        "", 7, {"steps": "6", "cfg_scale": "1", "width": "832", "height": "464", "model": "other"}
    )
    said = {
        one.field: one for one in DRIVER.testimony(request, 0, told=told, own=PictureFacts(), catalog=None)
    }
    assert [one.same for one in said["Steps"].sayings] == [False]
    assert [one.same for one in said["CFG scale"].sayings] == [True]
    assert [(one.used, one.same) for one in said["Drawn size"].sayings] == [("832x464", False)]
    assert [one.same for one in said["Model"].sayings] == [False]
    assert said["Frames"].sayings == ()
    assert set(said) == {
        "Drawn size", "Frames", "Frames per second", "Steps", "CFG scale", "Seed", "Boundary", "Sigma shift", "Fit",
        "Model",
    }  # fmt: skip


def test_what_nobody_asked_for_is_told_besides() -> None:
    facts = PictureFacts("", 7, {"steps": "8", "loras": "fast", "model": "wan"})
    named, unnamed = DRIVER.request(work("i2v", FILM, b"p")), DRIVER.request(work("edit", EDIT, b"p"))
    assert DRIVER.told_besides(named, facts) == (("loras", "fast"),)
    assert DRIVER.told_besides(unnamed, facts) == (("loras", "fast"), ("model", "wan"))


def png(text: str | None) -> bytes:
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_itxt("stablenew", text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_an_edit_says_itself_how_it_was_made() -> None:
    facts = picture_facts(png('{"seed": 9, "steps": 4, "prompt": "secret", "loras": [{"name": "fast"}]}'))
    assert (facts.seed, facts.info) == (9, {"seed": "9", "steps": "4", "loras": "fast"})


@pytest.mark.parametrize("content", [png(None), png("no JSON"), png("[1]"), b"\0\0\0\x20ftypisom", b""])
def test_what_says_nothing_readable_has_no_facts(content: bytes) -> None:
    assert (picture_facts(content).seed, dict(picture_facts(content).info)) == (None, {})


# --- answers --------------------------------------------------------------------------------------------


def answer(
    status: int, document: object = None, text: str = "", kind: str = "application/json"
) -> HttpAnswer:
    content = json.dumps(document).encode() if document is not None else text.encode()
    return HttpAnswer(status, kind, content, elapsed_s=0.1)


def said(code: str, message: str = "words", **facts: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **facts}}


@pytest.mark.parametrize(
    ("met", "kind"),
    [
        (answer(401, said("unauthorized")), WebUIAuthError),
        (answer(404, said("not_found")), WebUIEndpointMissingError),
        (answer(404, text="<html>", kind="text/html"), WebUIEndpointMissingError),
        (answer(413, said("too_large")), WebUIRequestTooLargeError),
        (answer(422, said("refused")), RequestValidationError),
        (answer(422, said("no_picture")), InvalidImageError),
        (answer(500, said("internal")), WebUIServerError),
        (answer(503, said("not_ready")), WebUITransientError),
        (answer(502, text="<html>bad gateway", kind="text/html"), WebUIGatewayError),
        (answer(504, text=""), WebUIGatewayError),
    ],
)
def test_an_answer_is_the_error_that_it_means(met: HttpAnswer, kind: type[WebUIError]) -> None:
    assert type(error_of(met)) is kind


def test_a_refusal_names_every_field() -> None:
    fields = [{"field": "steps", "message": "1-100"}, {"field": "fps", "message": "1-60"}]
    assert error_of(answer(422, said("refused", fields=fields))).words == "steps: 1-100; fps: 1-60"
