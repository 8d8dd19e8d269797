"""Names of networks in a prompt, as servers read them: stricter than how packs are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_LORA: Final = re.compile(r"<(?:lora|lyco):([^<>:\r\n]{1,500}+)[:>]")
"""In small letters alone. `lyco` is another word for the same."""


def loras_in(prompt: str) -> Sequence[str]:
    """In order, as often as they stand there."""
    return _LORA.findall(prompt)
