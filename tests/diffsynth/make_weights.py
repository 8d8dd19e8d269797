"""`python -m tests.diffsynth.make_weights FOLDER`: tiny random models, LoRAs, tokenizer and processor, in all 7 MB."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch

import tests.diffsynth.torchvision_shim  # noqa: F401  # isort: skip - before transformers and diffsynth
from diffsynth.models.wan_video_text_encoder import WanTextEncoder
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from tests.diffsynth.tiny_models import (
    SPECIAL_TOKENS,
    WAN_TEXT,
    TinyQwenDiT,
    TinyQwenTextEncoder,
    TinyQwenVAE,
    TinyWanDiT,
    TinyWanVAE,
)

RANK = 2
WAN_LAYER, QWEN_LAYER = "blocks.0.self_attn.q", "transformer_blocks.0.attn.to_q"


def main(folder: Path) -> None:
    torch.manual_seed(7)
    folder.mkdir(parents=True, exist_ok=True)
    wan = TinyWanDiT()
    save(folder / "wan_dit", wan.state_dict())
    torch.manual_seed(8)
    save(folder / "wan_dit2", TinyWanDiT().state_dict())
    save(folder / "wan_text_encoder", WanTextEncoder(**WAN_TEXT).state_dict())
    save(folder / "wan_vae", without(TinyWanVAE().state_dict(), "model."))
    qwen = TinyQwenDiT()
    save(folder / "qwen_dit", qwen.state_dict())
    save_in_two(folder, "qwen_dit", qwen.state_dict())
    save(folder / "qwen_text_encoder", original_names(TinyQwenTextEncoder().state_dict()))
    save(folder / "qwen_vae", TinyQwenVAE().state_dict())
    save(folder / "wan_lora", lora(WAN_LAYER, wan.get_submodule(WAN_LAYER)))
    save(folder / "qwen_lora", lora(QWEN_LAYER, qwen.get_submodule(QWEN_LAYER)))
    save(folder / "other_lora", lora("some.other.layer", wan.get_submodule(WAN_LAYER)))
    save(folder / "wide_lora", lora(WAN_LAYER, torch.nn.Linear(8, 8)))
    wan_tokenizer(folder / "tokenizer")
    qwen_processor(folder / "processor")


def save(path: Path, tensors: dict[str, Any]) -> None:
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, f"{path}.safetensors")


def save_in_two(folder: Path, name: str, tensors: dict[str, Any]) -> None:
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        save(folder / f"{name}-{number}-of-2", {key: tensors[key] for key in part})


def without(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def original_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """As the published files name them; the library's converter renames them when it loads."""
    return {
        name.replace("model.language_model.", "model.", 1).replace("model.visual.", "visual.", 1): value
        for name, value in tensors.items()
    }


def lora(layer: str, module: Any) -> dict[str, Any]:
    wide, narrow = module.weight.shape
    return {
        f"{layer}.lora_A.weight": torch.randn(RANK, narrow),
        f"{layer}.lora_B.weight": torch.randn(wide, RANK),
    }


def byte_words() -> dict[str, int]:
    return {word: number for number, word in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


def wan_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE(vocab=byte_words(), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


def qwen_processor(folder: Path) -> None:
    tokenizer = Qwen2Tokenizer(vocab=byte_words(), merges=[], additional_special_tokens=list(SPECIAL_TOKENS))
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
    )
    processor.save_pretrained(folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    draft = target.with_name(f"{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    main(draft)
    draft.rename(target)
