"""The table of films and edits in the docs is the table of the code."""

from __future__ import annotations

import re
from pathlib import Path

from webui.work.limits import (
    LIMITS,
    MAX_INPUT_BYTES,
    MAX_INPUT_PIXELS,
    MAX_INPUTS,
    MAX_PROMPT_CHARACTERS,
    Limit,
)

SETTINGS = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


def test_every_default_and_range_is_written_down() -> None:
    rows = re.findall(r"^\| `((?:i2v|edit)\.\w+)` \| `(.*?)` \| (.*?) \| \S.*\|$", SETTINGS, re.MULTILINE)
    words = {name: (default, ranged) for name, default, ranged in rows}
    assert len(words) == len(rows)
    assert words == {
        f"{kind}.{name}": (
            str(limit.default),
            limit.range_words if isinstance(limit, Limit) else ", ".join(f"`{one}`" for one in limit.values),
        )
        for kind, table in LIMITS.items()
        for name, limit in table.items()
    }


def test_the_other_limits_are_written_down() -> None:
    section = SETTINGS.partition("## Films and edits")[2].partition("\n## ")[0]
    for number in (MAX_INPUT_BYTES, MAX_INPUT_PIXELS, MAX_PROMPT_CHARACTERS):
        assert f"{number:,}" in section
    assert f"1-{MAX_INPUTS}" in section
