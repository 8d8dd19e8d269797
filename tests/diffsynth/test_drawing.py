"""What reaches the real pipelines: seeds, lists of pictures, schedulers, LoRAs, the shape of a film's picture."""

from __future__ import annotations

import io
from typing import Any

import av
import pytest

from tests.diffsynth.worker_process import WorkerClient
from tests.diffsynth.works import edit_body, film_body, picture, sha256_of

pytestmark = pytest.mark.diffsynth

PICTURE, OTHER = picture(), picture(64, 96, colour="navy")


def drawn(client: WorkerClient, job_id: str, *inputs: bytes, **changes: Any) -> tuple[dict[str, Any], bytes]:
    """What the job used, and what is to be seen: the file itself tells every parameter, and so differs with them."""
    given = inputs or (PICTURE,)
    for content in given:
        client.put(sha256_of(content), content)
    body = film_body if client.health().json["kind"] == "i2v" else edit_body
    answer = client.ask("POST", "/jobs", body(job_id, *given, **changes))
    assert answer.status == 202, answer.content
    ended = client.wait_for(job_id)
    assert ended["state"] == "done", ended
    return ended["result"], seen(client.ask("GET", f"/jobs/{job_id}/result").content)


def seen(content: bytes) -> bytes:
    """The pixels of a picture, the brightness of every frame of a film."""
    with av.open(io.BytesIO(content), mode="r") as file:
        return b"".join(bytes(plane) for frame in file.decode(video=0) for plane in frame.planes)


def test_the_same_seed_gives_the_same_film_and_another_one_another(film_worker: WorkerClient) -> None:
    results = [drawn(film_worker, f"seed-{number}", seed=seed)[1] for number, seed in enumerate((5, 5, 6))]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_a_film_has_as_many_frames_as_asked_for(film_worker: WorkerClient) -> None:
    result, _ = drawn(film_worker, "nine", num_frames=9, fps=24, width=80, height=64, steps=2)
    assert (result["frames"], result["fps"], result["width"], result["height"]) == (9, 24, 80, 64)


def test_a_film_of_a_picture_of_another_shape_is_cropped_or_padded(film_worker: WorkerClient) -> None:
    wide = picture(256, 64)
    crop, pad = (drawn(film_worker, f"fit-{fit}", wide, fit=fit)[1] for fit in ("crop", "pad"))
    assert crop != pad


def test_guidance_uses_the_negative_prompt(film_worker: WorkerClient) -> None:
    def film(name: str, **changes: Any) -> bytes:
        return drawn(film_worker, name, steps=2, **changes)[1]

    for words in ("red", "blue and a longer text"):
        name = f"without-{len(words)}"
        assert film(name, cfg_scale=1.0, negative_prompt=words) == film(f"{name}-again", cfg_scale=1.0)
    assert film("with", cfg_scale=20.0, negative_prompt="red") != film("none", cfg_scale=1.0)


def test_an_edit_takes_several_pictures_in_their_order(edit_worker: WorkerClient) -> None:
    first = drawn(edit_worker, "two", PICTURE, OTHER, seed=3)[1]
    second = drawn(edit_worker, "two-turned", OTHER, PICTURE, seed=3)[1]
    assert first != second


def test_lightning_steps_lie_elsewhere(edit_worker: WorkerClient) -> None:
    fast = drawn(edit_worker, "lightning", scheduler="lightning")[1]
    plain = drawn(edit_worker, "plain", scheduler="default")[1]
    again = drawn(edit_worker, "lightning-again", scheduler="lightning")[1]
    assert fast == again
    assert fast != plain


def test_a_job_is_known_by_its_id(edit_worker: WorkerClient) -> None:
    drawn(edit_worker, "once", seed=9)
    again = edit_worker.ask("POST", "/jobs", edit_body("once", PICTURE, seed=9))
    assert (again.status, again.json["state"]) == (200, "done")
    assert edit_worker.ask("POST", "/jobs", edit_body("once", PICTURE, seed=10)).code == "other_job"


def test_every_wrong_field_of_a_film_is_refused_at_once(film_worker: WorkerClient) -> None:
    film_worker.put(sha256_of(PICTURE), PICTURE)
    wrong = {
        "num_frames": 6,
        "width": 65,
        "steps": 101,
        "cfg_scale": 0.05,
        "fit": "stretch",
        "model": "other",
    }
    answer = film_worker.ask("POST", "/jobs", film_body("wrong", PICTURE, PICTURE, **wrong))
    assert (answer.status, answer.code) == (422, "refused")
    fields = {one["field"] for one in answer.json["error"]["fields"]}
    assert fields == {*wrong, "inputs"}
