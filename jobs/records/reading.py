"""A record back from its stored text, whatever its kind. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from jobs.records.base import prove
from jobs.records.films import EditRecord, I2VRecord
from jobs.records.record import NormalizedJobRecord

AnyRecord = NormalizedJobRecord | I2VRecord | EditRecord

RECORD_TYPES: Final = (NormalizedJobRecord, I2VRecord, EditRecord)

_BY_KIND: Final[Mapping[object, type[I2VRecord | EditRecord]]] = {"i2v": I2VRecord, "edit": EditRecord}


def read_record(text: str, sha256: str = "") -> AnyRecord:
    """The record of a canonical text, proved by its hash where that is given.

    Raises RecordChangedError, and pydantic's ValidationError for anything that is not a record.
    """
    prove(text, sha256)
    return (_BY_KIND.get(_kind_in(text)) or NormalizedJobRecord).model_validate_json(text)


def _kind_in(text: str) -> object:
    """What the text calls its kind: pictures have none, and what is no record is told by reading it as one."""
    if '"kind":' not in text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = found.get("kind") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else None
