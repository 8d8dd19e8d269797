"""The recorded documents under `data/`: one folder per dialect, and what extensions bring."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


@cache
def recorded(name: str) -> dict[str, Any]:
    """For example `a1111/options.json`. Callers do not change it."""
    document: dict[str, Any] = json.loads((DATA / name).read_text(encoding="utf-8"))
    return document
