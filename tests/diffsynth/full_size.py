"""`python -m tests.diffsynth.full_size`: the hashes of all models at full size, as JSON; they need no memory.

The library knows a model by the names and shapes of its tensors. Its own classes are built on the meta device, which
has shapes and no data, and their names are turned back into those of the published files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import tests.diffsynth.torchvision_shim  # noqa: F401  # isort: skip - before diffsynth
from diffsynth.configs import MODEL_CONFIGS
from diffsynth.core.loader.file import convert_keys_dict_to_single_str
from diffsynth.core.vram import skip_model_initialization
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.qwen_image_text_encoder import QwenImageTextEncoder
from diffsynth.models.qwen_image_vae import QwenImageVAE
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_text_encoder import WanTextEncoder
from diffsynth.models.wan_video_vae import WanVideoVAE

from tests.diffsynth.make_weights import original_names, without
from tests.diffsynth.tiny_models import (
    QWEN_VAE,
    WAN_TEXT,
    TinyQwenDiT,
    TinyQwenTextEncoder,
    TinyWanDiT,
    TinyWanVAE,
)

WAN_A14B = {
    "has_image_input": False,
    "patch_size": [1, 2, 2],
    "in_dim": 36,
    "dim": 5120,
    "ffn_dim": 13824,
    "freq_dim": 256,
    "text_dim": 4096,
    "out_dim": 16,
    "num_heads": 40,
    "num_layers": 40,
    "eps": 1e-06,
    "require_clip_embedding": False,
}

Names = Callable[[dict[str, Any]], dict[str, Any]]


def as_they_are(tensors: dict[str, Any]) -> dict[str, Any]:
    return tensors


def without_model(tensors: dict[str, Any]) -> dict[str, Any]:
    return without(tensors, "model.")


MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any], Names]] = {
    "wan_dit": (lambda: WanModel(**WAN_A14B), TinyWanDiT, as_they_are),
    "wan_text_encoder": (WanTextEncoder, lambda: WanTextEncoder(**WAN_TEXT), as_they_are),
    "wan_vae": (WanVideoVAE, TinyWanVAE, without_model),
    "qwen_dit": (QwenImageDiT, TinyQwenDiT, as_they_are),
    "qwen_text_encoder": (QwenImageTextEncoder, TinyQwenTextEncoder, original_names),
    "qwen_vae": (QwenImageVAE, lambda: QwenImageVAE(**QWEN_VAE), as_they_are),
}


def shapes_of(build: Callable[[], Any], names: Names) -> dict[str, list[int]]:
    with skip_model_initialization():
        model = build()
    return {name: list(tensor.shape) for name, tensor in names(model.state_dict()).items()}


def hash_of(shapes: dict[str, list[int]]) -> str:
    """As the library does it."""
    return hashlib.md5(convert_keys_dict_to_single_str(shapes).encode(), usedforsecurity=False).hexdigest()


def kinds_of_names(names: Iterable[str]) -> list[str]:
    """With every layer's number as N."""
    return sorted({re.sub(r"\d+", "N", name) for name in names})


def main() -> None:
    told = {}
    for name, (full, tiny, original) in MODELS.items():
        shapes = shapes_of(full, original)
        found = hash_of(shapes)
        told[name] = {
            "hash": found,
            "known_as": sorted({row["model_name"] for row in MODEL_CONFIGS if row["model_hash"] == found}),
            "tensors": len(shapes),
            "tiny_has_the_same_names": kinds_of_names(shapes) == kinds_of_names(shapes_of(tiny, original)),
        }
    print("RESULT " + json.dumps(told))


if __name__ == "__main__":
    main()
