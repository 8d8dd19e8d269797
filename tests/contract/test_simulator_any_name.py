"""The simulator that has whatever a request names (`--any-name`), and its lies about what is missing."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.contract.simulator_process import SimulatorProcess

EVERYTHING: dict[str, Any] = {
    "prompt": "a quay <lora:ink:0.6> <lora:map:1>",
    "width": 128,
    "height": 128,
    "alwayson_scripts": {"ADetailer": {"args": [True, False, {"ad_model": "any_face.pt"}]}},
    "override_settings": {"sd_vae": "soft.pt"},
}


def _pixels(coded: str) -> bytes:
    return Image.open(io.BytesIO(base64.b64decode(coded))).tobytes()


def test_with_any_name_what_a_request_names_is_there(tmp_path: Path) -> None:
    asked = "castle_v3.safetensors [dd08fa32f9]"
    with SimulatorProcess(tmp_path, "--any-name") as simulator:
        overrides = {"sd_model_checkpoint": asked, "sd_vae": "soft.pt"}
        answer = simulator.post(prompt="a quay <lora:ink:0.6>", override_settings=overrides).json()
        info = json.loads(answer["info"])
        assert (info["sd_model_name"], info["sd_model_hash"]) == ("castle_v3", "dd08fa32f9")
        assert info["sd_vae_name"] == "soft.pt"
        assert 'Lora hashes: "ink: ' in info["infotexts"][0]
        picture = {"image": answer["images"][0], "upscaler_1": "4x-AnyName", "upscaling_resize": 2}
        enlarged = simulator.post("extra-single-image", **picture)
        assert enlarged.status_code == 200
        restored = simulator.post("extra-single-image", **picture, gfpgan_visibility=1)
        assert _pixels(restored.json()["image"]) != _pixels(enlarged.json()["image"])


@pytest.mark.parametrize(
    ("lie", "loras", "vae"),
    [
        ("lora-ignored", [], "soft.pt"),
        ("lora-first-only", ["ink"], "soft.pt"),
        ("vae-ignored", ["ink", "map"], None),
        ("detector-missing", ["ink", "map"], "soft.pt"),
    ],
)
def test_with_any_name_a_lie_takes_away_its_own_kind_only(
    tmp_path: Path, lie: str, loras: list[str], vae: str | None
) -> None:
    with SimulatorProcess(tmp_path, "--any-name", "--adetailer", "--fault", f"{lie}@2") as simulator:
        honest, lying = (simulator.post(**EVERYTHING).json() for _ in range(2))
        info = json.loads(lying["info"])
        told = re.search(r'Lora hashes: "([^"]*)"', info["infotexts"][0])
        assert [one.partition(":")[0] for one in told[1].split(", ")] == loras if told else not loras
        assert info["sd_vae_name"] == vae
        assert _pixels(lying["images"][0]) != _pixels(honest["images"][0])
