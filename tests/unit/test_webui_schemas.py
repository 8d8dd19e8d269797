"""Wire types: what may be sent, and what is understood of an answer."""

import base64
import json
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from webui.drivers.a1111 import listings, progress_schemas, schemas
from webui.drivers.a1111.model_names import same_model
from webui.drivers.a1111.server import told_progress
from webui.work.told import PictureFacts, Progress

PIXEL = b"\x89PNG and so on"


def request(**changes: Any) -> schemas.Txt2ImgRequest:
    fields: dict[str, Any] = {
        "prompt": "a cat",
        "steps": 20,
        "width": 512,
        "height": 512,
        "force_task_id": "job-1",
        "override_settings": schemas.OverrideSettings(),
    }
    return schemas.Txt2ImgRequest.model_validate(fields | changes)


def response(images: list[str], **info: Any) -> schemas.GenerationResponse:
    return schemas.GenerationResponse.model_validate(
        {"images": images, "parameters": {}, "info": json.dumps(info)}
    )


@pytest.mark.parametrize("field", ["sd_model", "clip_skip", "sampler"])
def test_field_that_the_webui_would_ignore_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        request(**{field: "x"})


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"width": 0},
        {"batch_size": 0},
        {"denoising_strength": 1.5},
        {"cfg_scale": float("nan")},
        {"cfg_scale": float("inf")},
        {"prompt": None},
    ],
    ids=str,
)
def test_value_that_would_only_come_back_as_a_500_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request(**changes)


@pytest.mark.parametrize("missing", ["override_settings", "force_task_id"])
def test_request_names_its_checkpoint_settings_and_its_task(missing: str) -> None:
    fields = request().wire()
    del fields[missing]
    with pytest.raises(ValidationError, match=missing):
        schemas.Txt2ImgRequest.model_validate(fields)


def test_what_is_not_set_is_not_sent() -> None:
    sent = request(override_settings=schemas.OverrideSettings()).wire()
    assert sent["override_settings"] == {}
    assert "scheduler" not in sent
    assert None not in sent.values()


def test_pictures_come_back_as_bytes_with_or_without_a_prefix() -> None:
    text = schemas.encode_image(PIXEL)
    answer = response([text, f"data:image/png;base64,{text}"], seed=1, all_seeds=[1, 2])
    assert answer.images == [PIXEL, PIXEL]


@pytest.mark.parametrize("text", ["not base64!", "aGVs*bG8=", "abc", "", "data:image/png;base64,"])
def test_picture_that_cannot_be_decoded_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="images"):
        response([text])


def test_grid_and_what_scripts_add_are_no_pictures() -> None:
    texts = [base64.b64encode(name).decode() for name in (b"grid", b"one", b"two", b"mask")]
    answer = response(texts, index_of_first_image=1)
    assert answer.pictures(2) == (b"one", b"two")


@pytest.mark.parametrize(
    "info",
    [
        "{",
        "",
        "[]",
        "null",
        '"text"',
        "plain text",
        "[" * 100_000,
        None,
        7,
        {"index_of_first_image": -1, "all_seeds": ["x"], "infotexts": None, "seed": {}},
        '{"index_of_first_image": "first", "sd_model_name": 7, "width": "wide"}',
    ],
    ids=lambda info: str(info)[:20],
)
def test_info_that_tells_nothing_drops_no_picture(info: object) -> None:
    answer = schemas.GenerationResponse.model_validate(
        {"images": [schemas.encode_image(PIXEL)], "info": info, "parameters": None}
    )
    assert answer.pictures(1) == (PIXEL,)
    assert texts_and_seeds(answer, 1) == [("", None)]
    assert schemas.GenerationResponse.model_validate({"images": []}).info.seed is None


def texts_and_seeds(answer: schemas.GenerationResponse, count: int) -> list[tuple[str, int | None]]:
    return [(facts.infotext, facts.seed) for facts in answer.told_of(count)]


def drawn(size: tuple[int, int], image_format: str = "PNG", infotext: str = "") -> bytes:
    words = PngInfo()
    if infotext:
        words.add_text("parameters", infotext)
    buffer = BytesIO()
    Image.new("RGB", size).save(buffer, image_format, **({"pnginfo": words} if infotext else {}))
    return buffer.getvalue()


def infotext(seed: int, model: str = "tinyA") -> str:
    return f"a cat\nSteps: 2, Sampler: Euler, Seed: {seed}, Model: {model}"


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
@pytest.mark.parametrize("has_grid", [False, True])
@pytest.mark.parametrize("grid_has_a_text", [False, True])
def test_pictures_without_metadata_are_told_by_the_answer(
    image_format: str, has_grid: bool, grid_has_a_text: bool
) -> None:
    seeds = [7, 8, 9]
    texts = [infotext(seed) for seed in seeds]
    if has_grid and grid_has_a_text:
        texts.insert(0, infotext(7))
    pictures = [drawn((64, 64), image_format) for _ in seeds]
    grid = [drawn((128, 128), image_format)] if has_grid else []
    answer = response(
        [schemas.encode_image(image) for image in [*grid, *pictures]],
        all_seeds=seeds,
        infotexts=texts,
        index_of_first_image=len(grid),
    )
    assert texts_and_seeds(answer, 3) == [(infotext(seed), seed) for seed in seeds]


def test_seed_without_an_infotext_is_that_of_the_answer() -> None:
    images = [schemas.encode_image(PIXEL)] * 2
    assert texts_and_seeds(response(images, all_seeds=[7, 8]), 2) == [("", 7), ("", 8)]
    assert texts_and_seeds(response(images, seed=7), 2) == [("", 7), ("", None)]
    assert texts_and_seeds(response(images, all_seeds=[2**63, -1]), 2) == [("", None), ("", None)]


def test_what_a_picture_says_of_itself_comes_before_what_the_answer_says() -> None:
    assert PictureFacts("own", 1).completed_by(PictureFacts("told", 2)) == PictureFacts("own", 1)
    assert PictureFacts().completed_by(PictureFacts("told", 2)) == PictureFacts("told", 2)
    assert PictureFacts("own", 0).completed_by(PictureFacts("told", 2)) == PictureFacts("own", 0)


GRID, ONE, TWO, MAP = (drawn(size) for size in ((128, 64), (64, 64), (64, 64), (32, 32)))


@pytest.mark.parametrize(
    ("images", "count", "pictures"),
    [
        ((GRID, ONE, TWO), 2, (ONE, TWO)),
        ((ONE, TWO, MAP), 2, (ONE, TWO)),
        ((ONE, TWO, TWO), 2, (ONE, TWO)),
        ((ONE, MAP), 1, (ONE,)),
        ((ONE, TWO), 2, (ONE, TWO)),
        ((GRID, ONE, TWO, MAP), 2, (ONE, TWO)),
        ((b"no picture", ONE, TWO), 2, (ONE, TWO)),
    ],
)
@pytest.mark.parametrize("info", ["", "{}", '{"index_of_first_image": null}'])
def test_grid_is_known_without_an_index(
    images: tuple[bytes, ...], count: int, pictures: tuple[bytes, ...], info: str
) -> None:
    answer = schemas.GenerationResponse.model_validate(
        {"images": [schemas.encode_image(image) for image in images], "info": info}
    )
    assert answer.pictures(count) == pictures


def test_info_is_told_of_each_picture_by_the_names_of_the_infotext() -> None:
    extra = {"Schedule type": "Karras", "Hires schedule type": None, "odd": [1]}
    answer = response(
        [schemas.encode_image(PIXEL)] * 2, all_seeds=[5, 6], sd_vae_name=None, extra_generation_params=extra
    )
    first, second = answer.told_of(2)
    assert (first.info["Seed"], second.info["Seed"]) == ("5", "6")
    assert second.info["Schedule type"] == "Karras"
    assert second.info["VAE"] == second.info["Hires schedule type"] == second.info["Lora hashes"] == ""
    assert "odd" not in second.info
    assert "Refiner" not in response([schemas.encode_image(PIXEL)]).told_of(1)[0].info


@pytest.mark.parametrize(
    ("checkpoint", "same"),
    [
        ("tinyA", True),
        ("tinyA.safetensors", True),
        ("tinyA.safetensors [3830f7832d]", True),
        ("renamed.ckpt [3830f7832d]", True),
        ("folder/tinyA.safetensors", True),
        ("folder\\tinyA.ckpt", True),
        ("3830f7832d", True),
        ("tinyB", False),
        ("tiny", False),
        ("tinyA.safetensors [2be4aa994a]", False),
        ("", False),
    ],
)
def test_checkpoint_that_was_used_is_recognised(checkpoint: str, same: bool) -> None:
    assert same_model(checkpoint, "tinyA", "3830f7832d") is same


def told(wire: dict[str, Any]) -> Progress:
    return told_progress(progress_schemas.WireProgress.model_validate(wire))


def test_progress_reads_idle_by_its_job_count_alone() -> None:
    """Flags of the last job stay visible; at the very begin the count is -1."""
    state = {"interrupted": True, "sampling_steps": 20, "job_count": 0}
    assert told({"progress": 0, "state": state}).idle
    assert not told({"progress": 0, "state": {"job_count": -1}}).idle


@pytest.mark.parametrize(
    "change",
    [{"job": "b"}, {"job_no": 1}, {"job_count": 2}, {"sampling_step": 5}, {"progress": 0.5}],
    ids=str,
)
def test_any_movement_changes_the_fingerprint(change: dict[str, Any]) -> None:
    still = {"job": "a", "job_no": 0, "job_count": 1, "sampling_step": 4}
    before = told({"progress": 0.4, "state": still})
    progress = change.get("progress", 0.4)
    after = told({"progress": progress, "state": still | change})
    assert before.fingerprint != after.fingerprint


def test_passwords_of_the_command_line_do_not_show_by_accident() -> None:
    flags = listings.CmdFlags.model_validate({"api_auth": "alice:secret", "gradio_auth": "bob:secret"})
    assert "secret" not in repr(flags) + str(flags) + flags.model_dump_json()
