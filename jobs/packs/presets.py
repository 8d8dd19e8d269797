"""Named presets: settings without a pack, which hold where a pack has none of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobs.errors import DocumentError, PackReadError
from jobs.packs.document import ROOT_PACK_KEYS, parse_document
from jobs.packs.json_text import dump_document
from jobs.packs.kinds import PRESET_SECTIONS
from jobs.packs.sources import read_source


@dataclass(frozen=True, slots=True)
class Preset:
    """`document` is JSON with `preset_data` alone: a preset brings no rows, slots or title."""

    name: str
    document: str


def preset_of(name: str, text: str) -> Preset:
    """The preset in a document of either layout. Raises PackReadError where it holds no settings."""
    try:
        data = parse_document(text)
    except DocumentError as error:
        raise PackReadError(f"Preset {name} is not valid JSON: {error}.") from None
    unified = "pack_data" in data or "preset_data" in data
    settings = data.get("preset_data") if unified else data
    if not isinstance(settings, dict) or not any(settings.get(section) for section in PRESET_SECTIONS):
        known = ", ".join(PRESET_SECTIONS)
        raise PackReadError(f"Preset {name} holds no settings; a preset has sections like {known}.")
    own = {key: value for key, value in settings.items() if unified or key not in ROOT_PACK_KEYS}
    try:
        return Preset(name, dump_document({"preset_data": own}))
    except RecursionError:
        raise PackReadError(f"Preset {name} is nested too deeply.") from None


def read_preset(path: Path) -> Preset:
    """The preset in a `.json` file. Raises PackReadError, naming the file."""
    if path.suffix.lower() != ".json":
        raise PackReadError(f"{path} is no preset: a .json file is expected.")
    return preset_of(path.stem, read_source(path).document)
