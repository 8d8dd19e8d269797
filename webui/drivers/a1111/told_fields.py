"""What an answer and a picture tell of the settings that were used, by the names of the infotext. Pure.

`info` and infotext call the same things by different names; here they get one. Comparing is in `testimony`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from webui.drivers.a1111.infotext import Infotext, parse_infotext
from webui.work.infotext import fields_of_line
from webui.work.testimony import Witness
from webui.work.told import PictureFacts

LONGEST_VALUE: Final = 20_000
"""Characters of one told value that are looked at: far above any prompt."""
MOST_FIELDS: Final = 1000
"""Extra parameters that are looked at; extensions write dozens."""
_TAGS = re.compile(r"<[^>]{0,100}>")


@dataclass(frozen=True, slots=True)
class Told:
    """One witness: `fields` by the names of the infotext, the prompts among them. An empty value: nothing was used."""

    witness: Witness
    fields: Mapping[str, str]


def info_fields(info: Mapping[str, Any], place: int) -> dict[str, str]:
    """Of the picture at this place. What the info has as null is there and empty: it says that nothing was used."""
    fields: dict[str, Any] = {
        name: info[key] for key, name in _INFO_NAMES.items() if key in info and not _is_container(info[key])
    }
    for key, name in _INFO_LISTS.items():
        values = info.get(key)
        if isinstance(values, Sequence) and not isinstance(values, str) and place < len(values):
            fields[name] = values[place]
    extra = info.get("extra_generation_params")
    if isinstance(extra, Mapping):
        # They are written as they come into force; a name that is not there was not in force.
        fields |= {name: extra.get(name) for name in WRITTEN_IN_FORCE}
        few = islice(extra.items(), MOST_FIELDS)
        fields |= {str(name): value for name, value in few if not _is_container(value)}
    return {name: _text(value) for name, value in fields.items()}


def notes_of(html_info: object) -> dict[str, str]:
    """The notes of an extras answer: `<p>Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos</p>`."""
    text = _TAGS.sub("", html_info[:LONGEST_VALUE]) if isinstance(html_info, str) else ""
    return dict(fields_of_line(text))


def witnesses(told: PictureFacts, own: PictureFacts) -> tuple[Told, ...]:
    """Everybody who says something of this picture; a text that stands twice is the picture's own."""
    found = [Told(Witness.INFO, told.info)] if told.info else []
    if told.infotext and told.infotext != own.infotext:
        found.append(Told(Witness.ANSWER_TEXT, _fields_of(parse_infotext(told.infotext))))
    if own.infotext:
        found.append(Told(Witness.PICTURE_TEXT, _fields_of(parse_infotext(own.infotext))))
    return tuple(one for one in found if one.fields)


def _fields_of(text: Infotext) -> dict[str, str]:
    """No field at all is no infotext, but words of somebody else."""
    if not text.fields:
        return {}
    return {PROMPT: text.prompt, NEGATIVE: text.negative_prompt, **text.fields}


def _is_container(value: object) -> bool:
    return isinstance(value, (dict, list, tuple))


def _text(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:LONGEST_VALUE]


PROMPT, NEGATIVE = "Prompt", "Negative prompt"
LORA_HASHES, EMBEDDING_HASHES = "Lora hashes", "TI hashes"
EMBEDDING_NAMES = "TI"
"""Forge's word for the embeddings that were used; it tells no hashes."""
SCHEDULE, HIRES_SCHEDULE = "Schedule type", "Hires schedule type"
REFINER = "Refiner"
WRITTEN_IN_FORCE: Final = (SCHEDULE, HIRES_SCHEDULE, LORA_HASHES, EMBEDDING_HASHES, EMBEDDING_NAMES, REFINER)
"""Of `extra_generation_params`: the server writes them when the thing comes into force, not when it is asked for."""

_INFO_NAMES: Final = {
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "sampler_name": "Sampler",
    "steps": "Steps",
    "cfg_scale": "CFG scale",
    "sd_model_name": "Model",
    "sd_model_hash": "Model hash",
    "sd_vae_name": "VAE",
    "clip_skip": "Clip skip",
    "denoising_strength": "Denoising strength",
    "subseed_strength": "Variation seed strength",
    "version": "Version",
}
_INFO_LISTS: Final = {
    "all_prompts": PROMPT,
    "all_seeds": "Seed",
    "all_subseeds": "Variation seed",
}
