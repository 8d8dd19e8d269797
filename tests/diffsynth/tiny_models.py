"""The real classes, tiny: those that take no widths are built anew from the same blocks, and `forward` is theirs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffsynth.models.qwen_image_dit import (
    AdaLayerNorm,
    QwenEmbedRope,
    QwenImageDiT,
    QwenImageTransformerBlock,
    RMSNorm,
    TimestepEmbeddings,
)
from diffsynth.models.qwen_image_text_encoder import QwenImageTextEncoder
from diffsynth.models.qwen_image_vae import QwenImageVAE
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_vae import VideoVAE_, WanVideoVAE
from PIL import Image
from torch import nn

FAULT_VARIABLE = "TEST_WORKER_FAULT"
"""Names a file; while it is there the tiny model fails in denoise, in the way that its text says."""
HOLD_VARIABLE = "TEST_WORKER_HOLD"
"""Names a file; while it is there, the worker waits in the phases that it names. `.held` beside it says in which.

The tiny models wait where they load and draw. A film waits to be saved in the encoder of `Holds`, a picture here.
"""
JOURNAL_VARIABLE = "TEST_WORKER_JOURNAL"
"""Names a file to which every worker of tiny models writes when it begins and ends to encode and to decode."""

WIDTH = 32
WAN_DIT = {
    "has_image_input": False,
    "patch_size": [1, 2, 2],
    "in_dim": 36,
    "dim": 24,
    "ffn_dim": 32,
    "freq_dim": 32,
    "text_dim": WIDTH,
    "out_dim": 16,
    "num_heads": 2,
    "num_layers": 2,
    "eps": 1e-06,
    "require_clip_embedding": False,
}
WAN_TEXT = {"vocab": 300, "dim": WIDTH, "dim_attn": WIDTH, "dim_ffn": 64, "num_heads": 2, "num_layers": 2}
QWEN_VAE = {"base_dim": 8, "num_res_blocks": 1}
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
FIRST_SPECIAL_ID = 256


def special_id(token: str) -> int:
    return FIRST_SPECIAL_ID + SPECIAL_TOKENS.index(token)


class TinyWanDiT(WanModel):
    """The whole real class."""

    def __init__(self) -> None:
        _hold("load")
        super().__init__(**WAN_DIT)
        self.time_embedding.register_forward_pre_hook(_hold_or_fail)


class _WatchedVAE(nn.Module):
    """Stands before a real class, whose encode and decode a test can watch and hold."""

    def encode(self, *arguments: Any, **named: Any) -> Any:
        with _phase("encode"):
            return super().encode(*arguments, **named)

    def decode(self, *arguments: Any, **named: Any) -> Any:
        with _phase("decode"):
            return super().decode(*arguments, **named)


class TinyWanVAE(_WatchedVAE, WanVideoVAE):
    def __init__(self) -> None:
        super().__init__()
        self.model = VideoVAE_(dim=8, z_dim=16, num_res_blocks=1).eval().requires_grad_(False)


class TinyQwenVAE(_WatchedVAE, QwenImageVAE):
    def __init__(self) -> None:
        super().__init__(**QWEN_VAE)


class TinyQwenDiT(QwenImageDiT):
    def __init__(self) -> None:
        _hold("load")
        nn.Module.__init__(self)
        heads, head = 2, 16
        self.pos_embed = QwenEmbedRope(theta=10000, axes_dim=[4, 6, 6], scale_rope=True)
        self.time_text_embed = TimestepEmbeddings(
            32, heads * head, diffusers_compatible_format=True, scale=1000, align_dtype_to_timestep=False
        )
        self.txt_norm = RMSNorm(WIDTH, eps=1e-6)
        self.img_in = nn.Linear(64, heads * head)
        self.txt_in = nn.Linear(WIDTH, heads * head)
        self.transformer_blocks = nn.ModuleList(
            QwenImageTransformerBlock(dim=heads * head, num_attention_heads=heads, attention_head_dim=head)
            for _ in range(2)
        )
        self.norm_out = AdaLayerNorm(heads * head, single=True)
        self.proj_out = nn.Linear(heads * head, 64)
        # The pipeline's function calls the layers one by one and never the model itself.
        self.img_in.register_forward_pre_hook(_hold_or_fail)


class TinyQwenTextEncoder(QwenImageTextEncoder):
    def __init__(self) -> None:
        from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel

        nn.Module.__init__(self)
        ids = {
            "image_token_id": special_id("<|image_pad|>"),
            "video_token_id": special_id("<|video_pad|>"),
            "vision_start_token_id": special_id("<|vision_start|>"),
            "vision_end_token_id": special_id("<|vision_end|>"),
        }
        text = {
            "hidden_size": WIDTH,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": 300,
            "bos_token_id": special_id("<|endoftext|>"),
            "eos_token_id": special_id("<|im_end|>"),
            "rope_theta": 1000000.0,
            "rope_scaling": {"mrope_section": [2, 3, 3], "rope_type": "default", "type": "default"},
        }
        vision = {
            "depth": 2,
            "fullatt_block_indexes": [1],
            "hidden_size": WIDTH,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
        }
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
        self.model = Qwen2_5_VLModel(config)
        self.lm_head = nn.Linear(WIDTH, 300, bias=False)
        self.config = config


def _told(variable: str) -> str:
    try:
        return Path(os.environ.get(variable, "/nonexistent")).read_text(encoding="utf-8")
    except OSError:
        return ""


def _hold(phase: str) -> None:
    if phase not in _told(HOLD_VARIABLE).split():
        return
    Path(f"{os.environ[HOLD_VARIABLE]}.held").write_text(phase, encoding="utf-8")
    while phase in _told(HOLD_VARIABLE).split():
        time.sleep(0.01)


Image.preinit()
_write_png = Image.SAVE["PNG"]


def _hold_and_write_png(*arguments: Any) -> None:
    _hold("save")
    _write_png(*arguments)


Image.register_save("PNG", _hold_and_write_png)


@contextmanager
def _phase(phase: str) -> Iterator[None]:
    _note(phase, "begins")
    _hold(phase)
    yield
    _note(phase, "ends")


def _note(phase: str, what: str) -> None:
    """One write of one line, so that workers may share a journal and its order is that of the facts."""
    if JOURNAL_VARIABLE not in os.environ:
        return
    line = json.dumps({"pid": os.getpid(), "phase": phase, "what": what})
    with open(os.environ[JOURNAL_VARIABLE], "a", encoding="utf-8") as journal:
        journal.write(f"{line}\n")


def _hold_or_fail(module: nn.Module, arguments: Any) -> None:
    _hold("denoise")
    fault = _told(FAULT_VARIABLE)
    if fault == "cuda-memory":
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    if fault == "memory":
        raise MemoryError
    if fault == "device":
        raise RuntimeError("CUDA error: device-side assert triggered")
    if fault == "other":
        raise ValueError("the tensors of this test do not fit")
