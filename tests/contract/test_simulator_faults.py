"""Every fault of the simulator as a client meets it: real processes, real HTTP, one fault each."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.contract.recordings import load_exchange
from tests.contract.simulator_process import SimulatorProcess, journal_lines, wait_until
from tests.contract.test_client_sockets import PATIENT
from webui import errors
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.client import WebUIClient
from webui.http.retry import ONCE
from webui.work.pictures import read_header

RECORDED = load_exchange("txt2img-200").response
assert RECORDED is not None
PICTURE: str = RECORDED.json["images"][0]


def client_of(simulator: SimulatorProcess) -> WebUIClient:
    return WebUIClient(simulator.url, timeouts=PATIENT, policies=ONCE)


def request(
    prompt: str = "a cat", *, steps: int = 4, checkpoint: str = "", n_iter: int = 1
) -> schemas.Txt2ImgRequest:
    return schemas.Txt2ImgRequest(
        prompt=prompt,
        steps=steps,
        width=64,
        height=64,
        n_iter=n_iter,
        force_task_id="job-1",
        override_settings=schemas.OverrideSettings(sd_model_checkpoint=checkpoint),
    )


def upscaling(client: WebUIClient) -> schemas.ExtraSingleImageResponse:
    body = schemas.ExtraSingleImageRequest(image=PICTURE, upscaler_1="Lanczos", upscaling_resize=2)
    return client.extra_single_image(body)


@contextmanager
def struck_by(rule: str, folder: Path, *arguments: str) -> Iterator[SimulatorProcess]:
    """A simulator under one rule; its process must live on to the end."""
    journal = ("--journal", str(folder / "journal"))
    with SimulatorProcess(folder, "--fault", rule, *journal, *arguments) as simulator:
        yield simulator
        assert simulator.process.poll() is None


def answers(folder: Path) -> list[tuple[int | None, str, str | None, int]]:
    return [
        (line["status"], line["outcome"], line["fault"], line["images"])
        for line in journal_lines(folder / "journal", "answer")
    ]


def size(picture: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(picture)) as image:
        image.load()
        return image.size


# --- refusals and failures ------------------------------------------------------------------------------

FAILURES = [
    ("500", errors.WebUIServerError, 500, "simulated failure of generation 1"),
    ("500-echo", errors.WebUIServerError, 500, "with a cat"),
    ("500-upscaler", errors.UnknownUpscalerError, 500, "could not find upscaler named"),
    ("500-image", errors.InvalidImageError, 500, "Invalid encoded image"),
    ("oom", errors.WebUIOutOfMemoryError, 500, "can't allocate memory"),
    ("nan", errors.WebUINaNError, 500, "A tensor with all NaNs was produced in Unet."),
    ("422", errors.RequestValidationError, 422, "steps: simulated refusal"),
    ("404-sampler", errors.SamplerNotFoundError, 404, "Sampler not found"),
]


@pytest.mark.parametrize("dialect", ["a1111", "forge"])
@pytest.mark.parametrize(("kind", "error", "status", "words"), FAILURES, ids=[row[0] for row in FAILURES])
def test_refusal_or_failure_is_an_answer_and_the_server_goes_on(
    tmp_path: Path, kind: str, error: type[errors.WebUIError], status: int, words: str, dialect: str
) -> None:
    with struck_by(f"{kind}@1", tmp_path, "--dialect", dialect) as simulator:
        client = client_of(simulator)
        with pytest.raises(error) as failed:
            client.txt2img(request())
        assert type(failed.value) is error
        assert failed.value.status == status
        assert words in failed.value.words
        assert len(client.txt2img(request()).images) == 1
    assert answers(tmp_path) == [(status, "answered", kind, 0), (200, "answered", None, 1)]


def test_503_strikes_a_range_and_then_no_more(tmp_path: Path) -> None:
    transient = (errors.WebUITransientError, errors.WebUITransientExhaustedError)
    with struck_by("503@1-2", tmp_path) as simulator:
        client = client_of(simulator)
        for _ in range(2):
            with pytest.raises(transient, match="Service Unavailable"):
                client.txt2img(request())
        assert len(client.txt2img(request()).images) == 1
    assert [status for status, *_ in answers(tmp_path)] == [503, 503, 200]


def test_500_leaves_a_traceback_that_repeats_the_request(tmp_path: Path) -> None:
    body: dict[str, Any] = {
        "prompt": "a MARKED cat",
        "negative_prompt": "WORSE",
        "alwayson_scripts": {"refiner": {"args": ["DEEP"]}},
    }
    with struck_by("500@*", tmp_path) as simulator:
        simulator.post(**body)
        simulator.post("img2img", init_images=[PICTURE], prompt="a fox")
        for words in (
            "a MARKED cat",
            "WORSE",
            "DEEP",
            "Traceback (most recent call last):",
            "RuntimeError: ",
        ):
            assert words in simulator.log
        assert PICTURE[:40] not in simulator.log
    assert "MARKED" not in (tmp_path / "journal").read_text()


def test_broken_init_image_needs_no_fault(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as simulator:
        for broken in ("no picture at all", PICTURE[:2000]):
            refused = simulator.post("img2img", init_images=[broken])
            assert (refused.status_code, refused.json()["detail"]) == (500, "Invalid encoded image")


# --- no answer, or half of one --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop", "half-answer"])
def test_connection_breaks_after_the_work_and_the_process_lives(tmp_path: Path, kind: str) -> None:
    with struck_by(f"{kind}@1-2", tmp_path) as simulator:
        client = client_of(simulator)
        with pytest.raises(errors.WebUIConnectionLostError):
            client.txt2img(request())
        with pytest.raises(errors.WebUIConnectionLostError):
            upscaling(client)
        assert simulator.task("job-1")["completed"], "the work was done"
        assert len(client.txt2img(request()).images) == 1
    assert answers(tmp_path) == [(None, "cut", kind, 0)] * 2 + [(200, "answered", None, 1)]


def test_death_leaves_its_last_line_and_the_request(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with SimulatorProcess(tmp_path, "--fault", "die~cat", "--journal", str(journal)) as simulator:
        with pytest.raises(errors.WebUIConnectionLostError):
            client_of(simulator).txt2img(request("a cat"))
        assert simulator.process.wait(timeout=120) == 1
        assert simulator.log.rstrip().endswith("(fault die): the process ends here")
    assert answers(tmp_path) == [(None, "died", "die", 0)]
    assert [(line["how"], line["code"]) for line in journal_lines(journal, "end")] == [("died", 1)]


@pytest.mark.parametrize(
    ("kind", "job_count", "step", "active", "completed"),
    [
        ("hang", 1, 0, True, False),
        ("hang-before", 0, 0, False, False),
        ("hang-after", 0, 0, False, True),
    ],
)
def test_hang_stands_at_its_place(
    tmp_path: Path, kind: str, job_count: int, step: int, active: bool, completed: bool
) -> None:
    with struck_by(f"{kind}@1", tmp_path) as simulator:
        pending = simulator.in_background(steps=3, force_task_id="stuck")
        wait_until(lambda: journal_lines(tmp_path / "journal", "answer"))
        first = simulator.get("progress")
        assert (first["state"]["job_count"], first["state"]["sampling_step"]) == (job_count, step)
        task = simulator.task("stuck")
        assert (task["active"], task["completed"]) == (active, completed)
        time.sleep(0.3)
        assert simulator.get("progress")["state"] == first["state"], "nothing moves"
        assert not pending.done
    assert answers(tmp_path) == [(None, "hung", kind, 0)]


@pytest.mark.parametrize("kind", ["hang", "hang-before", "hang-after", "slow-load=30"])
def test_extras_hang_too(tmp_path: Path, kind: str) -> None:
    with struck_by(f"{kind}@1", tmp_path) as simulator:
        pending = simulator.in_background("extra-single-image", image=PICTURE, upscaler_1="Lanczos")
        wait_until(lambda: journal_lines(tmp_path / "journal", "fault"))
        time.sleep(0.2)
        assert simulator.get("progress")["state"]["job_count"] == 0
        assert not pending.done


# --- wrong answers --------------------------------------------------------------------------------------


def test_truncated_picture_is_no_base64(tmp_path: Path) -> None:
    with struck_by("truncated@1-2", tmp_path) as simulator:
        client = client_of(simulator)
        with pytest.raises(errors.WebUIBadAnswerError, match="not base64"):
            client.txt2img(request())
        with pytest.raises(errors.WebUIBadAnswerError, match="not base64"):
            upscaling(client)
    assert answers(tmp_path)[0] == (200, "answered", "truncated", 1)


def test_torn_picture_decodes_and_does_not_open(tmp_path: Path) -> None:
    with struck_by("torn-picture@1-2", tmp_path) as simulator:
        client = client_of(simulator)
        for picture in (client.txt2img(request()).images[0], upscaling(client).image):
            with pytest.raises((OSError, SyntaxError)):
                size(picture)


def test_black_picture_has_its_size_and_text_and_no_light(tmp_path: Path) -> None:
    with struck_by("black@*", tmp_path) as simulator:
        client = client_of(simulator)
        for picture in (*client.txt2img(request(n_iter=2)).images, upscaling(client).image):
            with Image.open(BytesIO(picture)) as image:
                assert image.getextrema() == ((0, 0),) * 3
        with Image.open(BytesIO(client.txt2img(request()).images[0])) as image:
            assert (image.size, "Steps: 4" in image.info["parameters"]) == ((64, 64), True)


@pytest.mark.parametrize("checkpoints", [["wanted"], ["wanted", "installed"]])
def test_wrong_checkpoint_shows_in_info_and_infotext_only(tmp_path: Path, checkpoints: list[str]) -> None:
    installed = [word for name in checkpoints for word in ("--checkpoint", name)]
    with struck_by("wrong-checkpoint@1", tmp_path, *installed) as simulator:
        client = client_of(simulator)
        wrong, right = (client.txt2img(request(checkpoint="wanted")) for _ in range(2))
        other = (checkpoints[1:] or ["leftover-v1"])[0]
        assert (wrong.info.sd_model_name, right.info.sd_model_name) == (other, "wanted")
        assert wrong.info.sd_model_hash != right.info.sd_model_hash
        assert f"Model hash: {wrong.info.sd_model_hash}, Model: {other}" in wrong.info.infotexts[0]
        assert wrong.images[0] != right.images[0]


def test_fewer_images_is_one_too_few_and_none_of_one(tmp_path: Path) -> None:
    with struck_by("fewer-images@*", tmp_path) as simulator:
        client = client_of(simulator)
        for asked in (1, 3):
            with pytest.raises(errors.WebUITooFewPicturesError) as failed:
                client.txt2img(request(n_iter=asked))
            assert len(failed.value.pictures) == asked - 1
        assert upscaling(client).image, "extras are spared"
    assert [images for *_, images in answers(tmp_path)] == [0, 2, 1]


def test_wrong_size_is_twice_as_large_and_no_info_tells_nothing(tmp_path: Path) -> None:
    with struck_by("wrong-size@1", tmp_path, "--fault", "no-info@2") as simulator:
        client = client_of(simulator)
        large, silent = (client.txt2img(request()) for _ in range(2))
    sizes = [read_header(answer.images[0]).width_px for answer in (large, silent)]
    assert sizes[0] == 2 * sizes[1]
    assert silent.info.seed is None
    assert large.info.seed is not None
    assert silent.info == schemas.GenerationInfo()


def test_interrupted_by_somebody_else_is_half_a_picture_and_stays_readable(tmp_path: Path) -> None:
    with struck_by("interrupted@1", tmp_path) as simulator:
        client = client_of(simulator)
        half = client.txt2img(request(steps=8))
        state = client.progress().state
        assert (state.interrupted, state.job_count) == (True, 0)
        assert size(half.images[0]) == (64, 64)
        whole = client.txt2img(request(steps=8))
        assert not client.progress().state.interrupted
        assert half.images[0] != whole.images[0]
    assert [outcome for _, outcome, *_ in answers(tmp_path)] == ["interrupted", "answered"]


# --- late answers ---------------------------------------------------------------------------------------


def test_slow_request_takes_its_seconds_for_each_step_and_moves(tmp_path: Path) -> None:
    with struck_by("slow=0.6@1", tmp_path) as simulator:
        started_at = time.monotonic()
        pending = simulator.in_background(steps=4)
        simulator.wait_for_step(1)
        simulator.wait_for_step(3)
        assert pending.answer().status_code == 200
        assert time.monotonic() - started_at >= 2.4
        simulator.post(steps=4)
    assert answers(tmp_path) == [(200, "answered", "slow", 1), (200, "answered", None, 1)]


def test_slow_load_reads_idle_and_then_works(tmp_path: Path) -> None:
    with struck_by("slow-load=2@1", tmp_path, "--seconds-per-step", "0.1") as simulator:
        started_at = time.monotonic()
        pending = simulator.in_background(steps=4)
        wait_until(lambda: journal_lines(tmp_path / "journal", "fault"))
        while time.monotonic() - started_at < 0.5:
            progress = simulator.get("progress")
            assert (progress["progress"], progress["state"]["job_count"]) == (0.0, 0)
        simulator.wait_for_step(1)
        assert pending.answer().status_code == 200
        assert time.monotonic() - started_at >= 2.4
