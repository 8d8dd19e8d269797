"""ADetailer in the simulator, over real HTTP: what it draws, writes and reports."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image, ImageChops

from tests.contract.recordings import load_exchange
from tests.contract.simulator_process import SimulatorProcess, wait_until

FACE: dict[str, Any] = {"ad_model": "face_yolov8n.pt", "ad_denoising_strength": 0.8}
HAND: dict[str, Any] = {"ad_model": "hand_yolov8n.pt", "ad_denoising_strength": 0.8}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(tmp_path_factory.mktemp("simulator"), "--adetailer") as process:
        yield process


@pytest.fixture(scope="module")
def picture(simulator: SimulatorProcess) -> str:
    coded: str = simulator.post(width=384, height=256).json()["images"][0]
    return coded


def _args(*arguments: Any) -> dict[str, Any]:
    return {"ADetailer": {"args": list(arguments)}}


def _detailed(simulator: SimulatorProcess, picture: str, *arguments: Any, **fields: Any) -> requests.Response:
    given: dict[str, Any] = {
        "init_images": [picture],
        "width": 384,
        "height": 256,
        "denoising_strength": 0.3,
    } | fields
    return simulator.post("img2img", **given, alwayson_scripts=_args(*arguments))


def _opened(coded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(coded))).convert("RGB")


def _only(answer: requests.Response) -> Image.Image:
    (coded,) = answer.json()["images"]
    return _opened(coded)


def _changed(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int] | None:
    return ImageChops.difference(one, other).getbbox()


def test_skipped_img2img_pass_leaves_the_picture_but_for_what_was_found(
    simulator: SimulatorProcess, picture: str
) -> None:
    answer = _detailed(simulator, picture, True, True, FACE)
    box = _changed(_only(answer), _opened(picture))
    assert _only(answer).size == (384, 256)
    assert box is not None
    assert (box[2] - box[0]) * (box[3] - box[1]) < 384 * 256 / 4
    assert json.loads(answer.json()["info"])["steps"] == 1


def test_img2img_pass_that_is_not_skipped_redraws_the_whole_picture(
    simulator: SimulatorProcess, picture: str
) -> None:
    fields: dict[str, Any] = {"prompt": "a dog", "seed": 3}
    without = _only(_detailed(simulator, picture, False, False, FACE, **fields))
    detailed = _only(_detailed(simulator, picture, True, False, FACE, **fields))
    assert _changed(without, _opened(picture)) == (0, 0, 384, 256)
    box = _changed(detailed, without)
    assert box is not None
    assert box != (0, 0, 384, 256)


def test_second_tab_adds_to_the_first(simulator: SimulatorProcess, picture: str) -> None:
    face = _only(_detailed(simulator, picture, True, True, FACE))
    both = _only(_detailed(simulator, picture, True, True, FACE, HAND))
    assert _changed(face, both) is not None
    assert _changed(face, _opened(picture)) != _changed(both, _opened(picture))


def test_pass_also_follows_txt2img(simulator: SimulatorProcess) -> None:
    fields = {"width": 384, "height": 256}
    plain = _only(simulator.post(**fields))
    answer = simulator.post(**fields, alwayson_scripts=_args(True, False, FACE))
    assert _changed(_only(answer), plain) is not None
    assert "ADetailer model: face_yolov8n.pt" in json.loads(answer.json()["info"])["infotexts"][0]


def test_file_and_info_name_the_detectors(simulator: SimulatorProcess, picture: str) -> None:
    answer = _detailed(simulator, picture, True, False, FACE, HAND)
    (coded,) = answer.json()["images"]
    text = Image.open(io.BytesIO(base64.b64decode(coded))).info["parameters"]
    assert (
        "Denoising strength: 0.3, ADetailer model: face_yolov8n.pt, ADetailer confidence: 0.3, "
        "ADetailer dilate erode: 4, ADetailer mask blur: 4, ADetailer denoising strength: 0.8, "
        "ADetailer inpaint only masked: True, ADetailer inpaint padding: 32, "
        "ADetailer model 2nd: hand_yolov8n.pt, "
    ) in text
    assert ", ADetailer version: 25.3.0, " in text
    assert json.loads(answer.json()["info"])["extra_generation_params"]["ADetailer model"] == FACE["ad_model"]


@pytest.mark.parametrize("wrong", [{"ad_model": "face_yolo99.pt"}, FACE | {"no_such": 1}, {"ad_model": 1.5}])
def test_settings_that_it_cannot_use_leave_the_picture_as_it_was(
    simulator: SimulatorProcess, wrong: dict[str, Any]
) -> None:
    answer = simulator.post(alwayson_scripts=_args(True, False, wrong))
    assert answer.status_code == 200
    assert _changed(_only(answer), _only(simulator.post())) is None
    assert "ADetailer" in simulator.log


def test_each_finding_counts_as_a_job_with_the_steps_of_its_own_pass(tmp_path: Path) -> None:
    hands = HAND | {"ad_use_steps": True, "ad_steps": 20, "ad_denoising_strength": 0.5}
    with SimulatorProcess(tmp_path, "--adetailer", "--seconds-per-step", "0.03") as simulator:
        pending = simulator.in_background(steps=4, alwayson_scripts=_args(True, False, hands))
        seen = set()

        def second_hand() -> bool:
            state = simulator.get("progress")["state"]
            seen.add((state["job_count"], state["job_no"], state["sampling_steps"]))
            return (state["job_no"], state["sampling_step"]) == (1, 5)

        wait_until(second_hand)
        assert {(1, 0, 4), (3, 0, 11), (3, 1, 11)} <= seen
        assert pending.answer().status_code == 200


def test_interrupt_ends_the_passes_too(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--adetailer", "--seconds-per-step", "0.05") as simulator:
        asked = _args(True, False, FACE | {"ad_use_steps": True, "ad_steps": 150}, HAND)
        pending = simulator.in_background(steps=2, width=256, height=256, alwayson_scripts=asked)
        wait_until(lambda: simulator.get("progress")["state"]["sampling_steps"] > 100)
        simulator.post("interrupt")
        assert len(pending.answer(5).json()["images"]) == 1


def test_nothing_is_detailed_after_an_interrupt_of_the_main_pass(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--adetailer", "--seconds-per-step", "0.05") as simulator:
        pending = simulator.in_background(steps=150, alwayson_scripts=_args(True, False, FACE, HAND))
        simulator.wait_for_step(2)
        simulator.post("interrupt")
        assert len(pending.answer(5).json()["images"]) == 1
        assert simulator.get("progress")["state"]["job_no"] == 1


def test_it_is_listed_where_it_is_installed(simulator: SimulatorProcess) -> None:
    for kind, names in simulator.get("scripts").items():
        recorded = load_exchange("scripts").response
        assert recorded
        assert [name for name in names if name != "adetailer"] == recorded.json[kind]
        assert "adetailer" in names
    entries = [entry for entry in simulator.get("script-info") if entry["name"] == "adetailer"]
    assert [entry["is_img2img"] for entry in entries] == [False, True]
    assert all(entry["is_alwayson"] for entry in entries)


def test_without_the_option_it_is_refused_in_the_recorded_words(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as simulator:
        answer = simulator.post(alwayson_scripts=_args(True, False, FACE))
        assert (answer.status_code, answer.json()["detail"]) == (422, "Script 'ADetailer' not found")
        assert "adetailer" not in simulator.get("scripts")["img2img"]
