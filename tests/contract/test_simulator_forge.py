"""What the Forge dialect does that no single recording shows, over real HTTP."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.contract.simulator_process import STARTS, SimulatorProcess, wait_until
from webui import errors
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.client import WebUIClient


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    arguments = ("--dialect", "forge", "--checkpoint", "randA", "--vae", "soft.pt", "--adetailer")
    with SimulatorProcess(tmp_path_factory.mktemp("forge"), *arguments) as simulator:
        yield simulator


def test_first_job_loads_the_checkpoint(tmp_path: Path) -> None:
    arguments = ("--dialect", "forge", "--checkpoint", "randA", "--load-seconds", "2")
    with SimulatorProcess(tmp_path, *arguments) as simulator:
        assert simulator.get("options")["sd_checkpoint_hash"] == ""
        assert simulator.post().elapsed.total_seconds() > 2
        assert simulator.get("options")["sd_checkpoint_hash"]
        simulator.post()
        assert simulator.log.count("Loading weights [") == 1


def test_request_before_the_api_is_ready_is_survived(tmp_path: Path) -> None:
    for _ in range(STARTS):
        with SimulatorProcess(tmp_path, "--dialect", "forge", "--fragile-start") as simulator:
            early = requests.get(f"{simulator.url}/sdapi/v1/progress", timeout=60)
            if early.ok:
                continue  # a busy machine let us come too late
            assert (early.status_code, early.json()) == (404, {"detail": "Not Found"})
            wait_until(lambda: requests.get(f"{simulator.url}/sdapi/v1/progress", timeout=60).ok)
            return
    pytest.fail("no request came before the API was ready")


def test_info_tells_which_sampler_was_used_instead(forge: SimulatorProcess) -> None:
    client = WebUIClient(forge.url)
    request = schemas.Txt2ImgRequest.model_validate(
        {
            "prompt": "a cat",
            "seed": 42,
            "steps": 2,
            "width": 64,
            "height": 64,
            "sampler_name": "Euler Karras",
            "override_settings": {},
            "force_task_id": "one",
        }
    )
    answer = client.txt2img(request)
    assert answer.info.sampler_name == "Euler"
    assert "Sampler: Euler, Schedule type: Karras, " in answer.info.infotexts[0]


def test_vaes_are_listed_as_modules(forge: SimulatorProcess) -> None:
    client = WebUIClient(forge.url)
    assert [module.model_name for module in client.sd_modules()] == ["soft.pt"]
    with pytest.raises(errors.WebUIEndpointMissingError):
        client.sd_vae()


def test_adetailer_and_hires_fix_work_here_too(forge: SimulatorProcess) -> None:
    answer = forge.post(
        width=128,
        height=128,
        enable_hr=True,
        denoising_strength=0.4,
        hr_upscaler="Latent",
        hr_additional_modules=["Use same choices"],
        alwayson_scripts={"ADetailer": {"args": [True, False, {"ad_model": "face_yolov8n.pt"}]}},
    )
    (coded,) = answer.json()["images"]
    text = Image.open(io.BytesIO(base64.b64decode(coded))).info["parameters"]
    assert json.loads(answer.json()["info"])["infotexts"] == [text]
    assert "Schedule type: Automatic, " in text
    assert "Denoising strength: 0.4, ADetailer model: face_yolov8n.pt, " in text
    assert "ADetailer version: 25.3.0, Hires CFG Scale: 1.0, Hires upscale: 2.0, " in text
    assert text.endswith(", Version: f2.0.1v1.10.1-previous-669-gdfdcbab6")


def test_wrong_option_is_kept_and_fails_the_next_look_at_them(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--dialect", "forge") as simulator:
        assert simulator.post("options", samples_save="banana").status_code == 200
        answer = requests.get(f"{simulator.url}/sdapi/v1/options", timeout=60)
        assert (answer.status_code, answer.json()["error"]) == (500, "ResponseValidationError")
        assert "'loc': ('response', 'samples_save')" in answer.json()["message"]


def test_hires_fix_without_modules_breaks_off_as_on_a_real_one(forge: SimulatorProcess) -> None:
    answer = forge.post(enable_hr=True, denoising_strength=0.4, hr_upscaler="Latent")
    assert (answer.status_code, answer.json()["error"]) == (500, "TypeError")
    assert forge.post(
        enable_hr=True, denoising_strength=0.4, hr_upscaler="Latent", hr_additional_modules=[]
    ).ok
