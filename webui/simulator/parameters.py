"""The `parameters` text and the `info` of a generation, key by key as the server writes them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
SIZE = re.compile(r"(\d+)x(\d+)")

UNSAID: dict[str, Any] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}
"""What png-info says about settings that the text leaves out."""


@dataclass
class Facts:
    """What was truly used for one request, over all its pictures."""

    fields: dict[str, Any]
    prompt: str
    negative: str
    seeds: list[int]
    subseeds: list[int]
    sampler: str
    checkpoint: str
    checkpoint_hash: str
    vae: str | None
    vae_hash: str | None
    modules: tuple[str, ...]
    clip_skip: int
    job_timestamp: str
    version: str
    schedule: str | None
    """What the infotext calls the schedule; None says nothing."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_varied(self) -> bool:
        return bool(self.fields["subseed_strength"] != 0)

    def variation(self, index: int) -> str:
        """What a variation adds to the seed; "" without one."""
        return f"~{self.subseeds[index]}*{self.fields['subseed_strength']}" if self.is_varied else ""

    def infotext(self, index: int) -> str:
        """The text of the picture with this index, as it stands in the PNG."""
        fields = self.fields
        shown: dict[str, Any] = {
            "Steps": fields["steps"],
            "Sampler": self.sampler,
            "Schedule type": self.schedule,
            "CFG scale": fields["cfg_scale"],
            "Image CFG scale": fields.get("image_cfg_scale"),
            "Seed": self.seeds[index],
            "Size": f"{fields['width']}x{fields['height']}",
            "Model hash": self.checkpoint_hash,
            "Model": self.checkpoint,
            "VAE hash": self.vae_hash,
            "VAE": self.vae,
            "Variation seed": self.subseeds[index] if self.is_varied else None,
            "Variation seed strength": fields["subseed_strength"] if self.is_varied else None,
            "Denoising strength": self.extra.get("Denoising strength"),
            "Clip skip": self.clip_skip if self.clip_skip > 1 else None,
            "Tiling": "True" if fields["tiling"] else None,
            **self.extra,
            "Version": self.version,
        }
        settings = ", ".join(
            f"{name}: {_quoted(value)}" for name, value in shown.items() if value is not None
        )
        negative = f"\nNegative prompt: {self.negative}" if self.negative else ""
        return f"{self.prompt}{negative}\n{settings}".strip()

    def info(self, infotexts: list[str], first_image: int) -> str:
        """The `info` of the answer: JSON in a string."""
        fields, count = self.fields, len(self.seeds)
        return json.dumps(
            {
                "prompt": self.prompt,
                "all_prompts": [self.prompt] * count,
                "negative_prompt": self.negative,
                "all_negative_prompts": [self.negative] * count,
                "seed": self.seeds[0],
                "all_seeds": self.seeds,
                "subseed": self.subseeds[0],
                "all_subseeds": self.subseeds,
                "subseed_strength": fields["subseed_strength"],
                "width": fields["width"],
                "height": fields["height"],
                "sampler_name": self.sampler,
                "cfg_scale": fields["cfg_scale"],
                "steps": fields["steps"],
                "batch_size": fields["batch_size"],
                "restore_faces": bool(fields["restore_faces"]),
                "face_restoration_model": None,
                "sd_model_name": self.checkpoint,
                "sd_model_hash": self.checkpoint_hash,
                "sd_vae_name": self.vae,
                "sd_vae_hash": self.vae_hash,
                "seed_resize_from_w": fields["seed_resize_from_w"],
                "seed_resize_from_h": fields["seed_resize_from_h"],
                "denoising_strength": fields["denoising_strength"],
                "extra_generation_params": self.extra,
                "index_of_first_image": first_image,
                "infotexts": infotexts,
                "styles": fields["styles"] or [],
                "job_timestamp": self.job_timestamp,
                "clip_skip": self.clip_skip,
                "is_using_inpainting_conditioning": False,
                "version": self.version,
            }
        )


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",\n:") else text


def parsed(text: str) -> dict[str, Any]:
    """The fields of a `parameters` text as png-info answers them, with `UNSAID` for those that it leaves out."""
    words, _, last = text.rpartition("\n")
    pairs = FIELD.findall(last)
    if len(pairs) < 3:
        words, pairs = text, []
    found: dict[str, Any] = {}
    for name, value in pairs:
        size = SIZE.fullmatch(value)
        if size:
            found |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            found[name] = json.loads(value) if value.startswith('"') else value
    prompt, _, negative = words.partition("Negative prompt:")
    found |= {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    return found | {name: value for name, value in UNSAID.items() if name not in found}
