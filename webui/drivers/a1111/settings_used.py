"""What a WebUI truly used, beside what it was asked for: the fields of an infotext against those of a request. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webui.drivers.a1111.infotext import Infotext
from webui.drivers.a1111.model_names import same_model
from webui.work.told import UsedField


def used_fields(body: Mapping[str, Any], infotext: Infotext, image_index: int) -> tuple[UsedField, ...]:
    """Everything that the infotext tells, asked for or not, and what was asked for and is not told.

    `body` is the request as sent, `image_index` the picture's place within its answer.
    """
    asked = _asked(body, image_index)
    told = {"Prompt": infotext.prompt, "Negative prompt": infotext.negative_prompt, **infotext.fields}
    names = [*asked, *(name for name in told if name not in asked)]
    return tuple(_field(name, asked.get(name, ""), told.get(name, "")) for name in names)


def _field(name: str, asked: str, used: str) -> UsedField:
    same = SAME.get(name, _same_text)
    return UsedField(name, asked, used, differs=bool(asked and used and not same(asked, used)))


def _asked(body: Mapping[str, Any], image_index: int) -> dict[str, str]:
    """The request's own words by the names of the infotext; only what it asks for."""
    options = body.get("override_settings", {})
    varied = bool(body.get("subseed_strength"))
    found = {
        "Prompt": body.get("prompt"),
        "Negative prompt": body.get("negative_prompt") or None,
        "Steps": body.get("steps"),
        "Sampler": body.get("sampler_name"),
        "Schedule type": body.get("scheduler"),
        "CFG scale": body.get("cfg_scale"),
        "Seed": _counted(body.get("seed"), 0 if varied else image_index),
        "Size": f"{body['width']}x{body['height']}" if "width" in body else None,
        "Model": options.get("sd_model_checkpoint"),
        "VAE": options.get("sd_vae"),
        "Clip skip": options.get("CLIP_stop_at_last_layers"),
        "Denoising strength": body.get("denoising_strength"),
        "Variation seed": _counted(body.get("subseed"), image_index) if varied else None,
        "Variation seed strength": body.get("subseed_strength") if varied else None,
        "Hires upscale": body.get("hr_scale"),
        "Hires upscaler": body.get("hr_upscaler"),
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _counted(seed: Any, image_index: int) -> int | None:
    return None if seed is None else int(seed) + image_index


def _same_text(asked: str, used: str) -> bool:
    return " ".join(asked.split()) == " ".join(used.split()) or _same_number(asked, used)


def _same_number(asked: str, used: str) -> bool:
    try:
        return abs(float(asked) - float(used)) < 1e-6
    except ValueError:
        return False


SAME: dict[str, Callable[[str, str], bool]] = {"Model": same_model, "VAE": same_model}
