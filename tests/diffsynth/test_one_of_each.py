"""One film and one edit by the real pipelines; the gate runs these."""

from __future__ import annotations

import hashlib
import io
import json

import av
import pytest
from PIL import Image

from tests.diffsynth.worker_process import WorkerClient
from tests.diffsynth.works import edit_body, film_body, picture, sha256_of

pytestmark = pytest.mark.diffsynth


def test_a_film_is_what_was_asked_for(film_worker: WorkerClient) -> None:
    start = picture(200, 100)
    film_worker.put(sha256_of(start), start)
    body = film_body("one-film", start, prompt='a boat, "quoted"; ünïcode\nsecond line')
    assert film_worker.ask("POST", "/jobs", body).status == 202
    ended = film_worker.wait_for("one-film")
    assert ended["state"] == "done", ended
    result = ended["result"]
    told = {name: result[name] for name in ("media_type", "width", "height", "frames", "fps")}
    assert told == {"media_type": "video/mp4", "width": 64, "height": 64, "frames": 5, "fps": 16}
    fetched = film_worker.ask("GET", "/jobs/one-film/result")
    assert hashlib.sha256(fetched.content).hexdigest() == result["sha256"]
    assert fetched.headers["X-Result-Frames"] == "5"
    assert fetched.headers["X-Result-FPS"] == "16"
    assert fetched.content.index(b"moov") < fetched.content.index(b"mdat")
    with av.open(io.BytesIO(fetched.content), mode="r") as film:
        [stream] = film.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 64, 64)
        assert (str(stream.average_rate), stream.pix_fmt) == ("16", "yuv420p")
        comment = json.loads(film.metadata["comment"])
        frames = [bytes(frame.planes[0]) for frame in film.decode(stream)]
    assert len(frames) == 5
    assert len(set(frames)) > 1
    assert comment == {**result["used"], "prompt": body["prompt"], "negative_prompt": "blurry"}
    assert result["used"]["loras"] == [{"name": "wan_lora", "target": "dit", "strength": 1.0}]


def test_an_edit_is_what_was_asked_for(edit_worker: WorkerClient) -> None:
    start = picture()
    edit_worker.put(sha256_of(start), start)
    body = edit_body("one-edit", start, width=80, height=64)
    assert edit_worker.ask("POST", "/jobs", body).status == 202
    ended = edit_worker.wait_for("one-edit")
    assert ended["state"] == "done", ended
    result = ended["result"]
    fetched = edit_worker.ask("GET", "/jobs/one-edit/result")
    assert hashlib.sha256(fetched.content).hexdigest() == result["sha256"]
    with Image.open(io.BytesIO(fetched.content)) as drawn:
        assert (drawn.format, drawn.mode, drawn.size) == ("PNG", "RGB", (80, 64))
        assert drawn.getextrema() != ((0, 0),) * 3
        told = json.loads(drawn.text["stablenew"])  # type: ignore[attr-defined]
    assert told == {**result["used"], "prompt": body["prompt"], "negative_prompt": ""}


def test_health_says_what_runs(film_worker: WorkerClient, edit_worker: WorkerClient) -> None:
    for worker, kind, model in ((film_worker, "i2v", "tiny-wan"), (edit_worker, "edit", "tiny-qwen")):
        told = worker.health().json
        assert (told["state"], told["kind"], told["model"], told["device"]) == ("ready", kind, model, "cpu")
        assert told["versions"]["diffsynth"] == "2.1.12"
        assert told["versions"]["torch"].partition("+")[0] == "2.13.0"
        assert [lora["tensors"] for lora in told["loras"]] == [1]
        assert told["memory"]["ram_bytes"] > 100_000_000
