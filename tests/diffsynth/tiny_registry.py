"""Named as `registry` by tests' configurations: makes the library know the tiny models by their files' own hashes.

Rows are added to its table and none is changed: loader, converters, schedulers and pipelines stay the real ones.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from diffsynth.configs import MODEL_CONFIGS
from diffsynth.core.loader import hash_model_file

from tests.diffsynth.tiny_models import WAN_TEXT

FOLDER_VARIABLE = "TEST_WORKER_WEIGHTS"

_CONVERTERS = "diffsynth.utils.state_dict_converters"
ROWS: dict[str, dict[str, Any]] = {
    "wan_dit": {
        "model_name": "wan_video_dit",
        "model_class": "tests.diffsynth.tiny_models.TinyWanDiT",
    },
    "wan_text_encoder": {
        "model_name": "wan_video_text_encoder",
        "model_class": "diffsynth.models.wan_video_text_encoder.WanTextEncoder",
        "extra_kwargs": WAN_TEXT,
    },
    "wan_vae": {
        "model_name": "wan_video_vae",
        "model_class": "tests.diffsynth.tiny_models.TinyWanVAE",
        "state_dict_converter": f"{_CONVERTERS}.wan_video_vae.WanVideoVAEStateDictConverter",
    },
    "qwen_dit": {"model_name": "qwen_image_dit", "model_class": "tests.diffsynth.tiny_models.TinyQwenDiT"},
    "qwen_text_encoder": {
        "model_name": "qwen_image_text_encoder",
        "model_class": "tests.diffsynth.tiny_models.TinyQwenTextEncoder",
        "state_dict_converter": f"{_CONVERTERS}.qwen_image_text_encoder.QwenImageTextEncoderStateDictConverter",
    },
    "qwen_vae": {"model_name": "qwen_image_vae", "model_class": "tests.diffsynth.tiny_models.TinyQwenVAE"},
}
"""By the name of the file."""

for name, row in ROWS.items():
    path = Path(os.environ[FOLDER_VARIABLE]) / f"{name}.safetensors"
    MODEL_CONFIGS.append({"model_hash": hash_model_file(str(path)), **row})
