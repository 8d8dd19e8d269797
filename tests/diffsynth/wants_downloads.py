"""Named as `registry` by a test's configuration: the libraries of the worker ask for a model that is not here."""

from __future__ import annotations

from contextlib import suppress

from diffsynth.core.loader.config import ModelConfig
from transformers import AutoTokenizer

MODEL = "nobody/nothing"

for ask in (
    ModelConfig(model_id=MODEL, download_source="modelscope").download_if_necessary,
    ModelConfig(model_id=MODEL, download_source="huggingface").download_if_necessary,
    lambda: AutoTokenizer.from_pretrained(MODEL),
):
    with suppress(Exception):
        ask()
raise RuntimeError("every library was asked")
