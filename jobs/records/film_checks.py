"""What a film or an edit is refused for beside its numbers: its words and its pictures. Pure.

Building and the last look before the queue share these sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from jobs.records.stage_config import Finding
from webui.work.limits import MAX_INPUTS, MAX_PROMPT_CHARACTERS
from webui.work.networks import loras_in

SHA256_RE: Final = re.compile("[0-9a-f]{64}")

_WHAT_TO_WRITE: Final[Mapping[str, str]] = {"i2v": "write what shall happen", "edit": "write what to change"}
_MOST_INPUTS: Final[Mapping[str, int]] = {"i2v": 1, "edit": MAX_INPUTS}


def words_problems(kind: str, positive: str, negative: str) -> Iterator[Finding]:
    """What is wrong with the prompts when everything is filled in. A negative prompt may be empty."""
    if not positive.strip():
        yield "empty_positive", "prompt", f"the prompt is empty; {_WHAT_TO_WRITE[kind]}."
    for name, text in (("prompt", positive), ("negative_prompt", negative)):
        side = name.replace("_", " ")
        if len(text) > MAX_PROMPT_CHARACTERS:
            words = (
                f"the {side} has {len(text):,} characters, more than {MAX_PROMPT_CHARACTERS:,}; shorten it."
            )
            yield "long_prompt", name, words
        if loras := loras_in(text):
            words = (
                f"the {side} names the LoRA {loras[0]}; the LoRAs of a worker stand in its configuration, and a tag "
                "would be read as words. Take it out."
            )
            yield "lora_in_prompt", name, words


def count_problems(kind: str, pictures: int) -> Iterator[Finding]:
    """What is wrong with the number of pictures."""
    most = _MOST_INPUTS[kind]
    if pictures < 1:
        yield "missing_picture", "images", "it names no picture; a film and an edit begin with one."
    elif pictures > most:
        what = "a film begins with one" if most == 1 else f"an edit takes at most {most}"
        yield "too_many_pictures", "images", f"it names {pictures} pictures; {what}."
