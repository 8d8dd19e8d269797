"""The library knows models by the names and shapes of their tensors: those of its table are those of its own classes.

Fails when the pinned version moves and real files are no longer recognised, or our tiny models no longer resemble them.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.diffsynth.environment import interpreter
from tests.diffsynth.worker_process import environment_of

pytestmark = pytest.mark.diffsynth

PUBLISHED = {
    "wan_dit": ("5b013604280dd715f8457c6ed6d6a626", "wan_video_dit"),
    "wan_text_encoder": ("9c8818c2cbea55eca56c7b447df170da", "wan_video_text_encoder"),
    "wan_vae": ("ccc42284ea13e1ad04693284c7a09be6", "wan_video_vae"),
    "qwen_dit": ("0319a1cb19835fb510907dd3367c95ff", "qwen_image_dit"),
    "qwen_text_encoder": ("8004730443f55db63092006dd9f7110e", "qwen_image_text_encoder"),
    "qwen_vae": ("ed4ea5824d55ec3107b09815e318123a", "qwen_image_vae"),
}
"""Of Wan2.2-I2V-A14B (both of its large models have the same) and Qwen-Image-Edit, as the library's table has them."""


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("full-size")
    command = [str(interpreter()), "-P", "-m", "tests.diffsynth.full_size"]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DIFFSYNTH_SKIP_DOWNLOAD": "True"}
    environment = {**environment_of(Path("/none")), **offline}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    told: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return told


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_the_published_model_is_recognised(full_size: dict[str, Any], name: str) -> None:
    found, known_as = PUBLISHED[name]
    assert full_size[name]["hash"] == found
    assert known_as in full_size[name]["known_as"]


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_the_tiny_model_has_the_same_parts(full_size: dict[str, Any], name: str) -> None:
    assert full_size[name]["tiny_has_the_same_names"]
