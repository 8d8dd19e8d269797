"""A record without anybody's words: numbers and names that servers list stay, of other texts length and hash."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from diagnostics.bundle.door import Door, hidden
from jobs.records.reading import RECORD_TYPES

NAMES: Final = frozenset(
    {
        "base_model",
        "checkpoint",
        "hr_sampler",
        "hr_scheduler",
        "hr_upscaler",
        "model",
        "prompt_pack_id",
        "prompt_pack_name",
        "refiner_checkpoint",
        "sampler",
        "scheduler",
        "upscaler",
        "vae",
    }
)
"""Fields that hold the name of something that a server lists, or of a pack."""
WORDS: Final = frozenset(
    {
        "fit",
        "kind",
        "loop_type",
        "mask_filter_method",
        "mask_merge_invert",
        "mode",
        "pack_revision",
        "queue_source",
        "run_mode",
        "sha256",
        "side",
        "source",
        "stage",
    }
)
"""Fields that hold a word or a hash of ours."""


def shaped_record(canonical_json: str, door: Door) -> Any:
    """The record as JSON; what is no record any more is hidden whole."""
    try:
        value = json.loads(canonical_json)
    except ValueError:
        return hidden(canonical_json)
    return _shape("", value, door, frozenset(_field_names()))


def _shape(field: str, value: object, door: Door, known: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        if set(value) <= known:
            return {key: _shape(key, one, door, known) for key, one in value.items()}
        return [{"key": hidden(str(key)), "value": hidden(str(one))} for key, one in value.items()]
    if isinstance(value, list):
        return [_shape(field, one, door, known) for one in value]
    if not isinstance(value, str):
        return value
    if field in NAMES | WORDS:
        return door.name(value)
    return hidden(value)


def _field_names() -> Iterator[str]:
    """Every name of a field that a record of any kind or a part of it has."""
    for kind in RECORD_TYPES:
        schema = kind.model_json_schema()
        yield from schema["properties"]
        for part in schema["$defs"].values():
            yield from part.get("properties", ())
