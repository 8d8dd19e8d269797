"""Packs of films and edits for tests: their pictures exist by name and hash alone."""

from __future__ import annotations

import json
from typing import Any

from jobs.packs.json_lines import line_of, text_of
from jobs.packs.rows import RowImage
from jobs.packs.sources import PackSource


def picture(number: int = 1, width_px: int = 1920, height_px: int = 1080, name: str = "") -> RowImage:
    return RowImage(f"{number:064x}", name or f"cat{number}.png", width_px, height_px)


def film_text(*prompts: str, negative_prompt: str = "") -> str:
    """A row with a picture of its own for each prompt."""
    numbered = enumerate(prompts or ("the cat waves",), 1)
    return text_of(line_of([picture(number)], prompt, negative_prompt) for number, prompt in numbered)


def film_source(text: str = "", kind: str = "i2v", name: str = "films", **sections: Any) -> PackSource:
    """`sections` are those of `preset_data`."""
    document = json.dumps({"preset_data": sections}) if sections else ""
    return PackSource(name, text or film_text(), document, kind)
