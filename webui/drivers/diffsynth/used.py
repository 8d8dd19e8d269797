"""What a worker says that it has used, in texts: of an answer, and of a picture's own text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from webui.http.json_body import read_json
from webui.words import writable
from webui.work.png_text import png_text
from webui.work.told import PictureFacts

TEXT_KEYWORD: Final = b"stablenew"
"""Of the text chunk in which a PNG says how it was made: JSON of what was used, with prompt and seed."""
PROMPTS: Final = frozenset({"prompt", "negative_prompt"})
MOST_SEED: Final = 2**63
LONGEST_TEXT: Final = 300


def facts_of(used: Mapping[str, Any], text: str = "") -> PictureFacts:
    """`text` is the picture's own. Prompts are nobody's setting: they stay in that text alone."""
    seed = used.get("seed")
    known = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < MOST_SEED
    info = {
        str(name)[:100]: _text(value)
        for name, value in used.items()
        if name not in PROMPTS and value is not None
    }
    return PictureFacts(text, seed if known else None, info)


def picture_facts(content: bytes) -> PictureFacts:
    """What an accepted result says of itself; a film says nothing that can be read here."""
    text = png_text(content, TEXT_KEYWORD)
    if text is None:
        return PictureFacts()
    try:
        used = read_json(text)
    except ValueError:
        return PictureFacts(writable(text))
    return facts_of(used, writable(text)) if isinstance(used, Mapping) else PictureFacts(writable(text))


def _text(value: object) -> str:
    """Of a list of named things their names."""
    if isinstance(value, list):
        names = (one.get("name", one) if isinstance(one, Mapping) else one for one in value)
        return ", ".join(_text(one) for one in names)[:LONGEST_TEXT]
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return writable(text)[:LONGEST_TEXT]
