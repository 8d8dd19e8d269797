"""What every record shares, whatever it makes: its provenance, its prompts, its seed, and its canonical bytes. Pure.

A record is made by `jobs.building.builder` and by nothing else. The runner merges nothing into it and resolves
nothing in it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Final, Literal, NoReturn, Self

from pydantic import AfterValidator

from jobs.errors import RecordChangedError
from jobs.records.stage_config import StageConfig
from webui.values import FrozenValue

MAX_SEED: Final = 2**32 - 1
_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


class FrozenDict(dict[str, str]):
    """A text-to-text mapping that refuses every change, so that a record is frozen to its leaves."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("a record cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, str]]]:
        return FrozenDict, (dict(self),)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def _freeze(value: dict[str, str]) -> dict[str, str]:
    return value if isinstance(value, FrozenDict) else FrozenDict(value)


class PromptLayer(FrozenValue):
    """Which source gave which words; the layers of a side, joined, are that side's prompt."""

    side: Literal["positive", "negative"]
    source: Literal["global", "embeddings", "matrix", "row", "loras", "pack", "override"]
    text: str


class Randomization(FrozenValue):
    """Every choice that made this record's prompts out of its row.

    `slots` are those that the row uses, in the pack's order; `combination` is the index of the choice
    in their product of `combinations`, the last slot running fastest.
    """

    mode: Literal["none", "fanout", "random", "sequential", "rotate"]
    build_seed: int
    slots: tuple[str, ...]
    combination: int
    combinations: int
    wildcards: Annotated[dict[str, str], AfterValidator(_freeze)]
    replacements: Annotated[dict[str, str], AfterValidator(_freeze)]


class RecordInput(FrozenValue):
    """A picture that a film or an edit begins with: its bytes by their SHA-256, and the name that people gave it."""

    sha256: str
    name: str


class RecordBase(FrozenValue):
    """What all kinds share. Each kind is a frozen sibling, `jobs.records.reading.AnyRecord` is any of them.

    `prompt_pack_row_index`, `variant_index` and `batch_index` count from 0; people are shown rows from 1.
    `pack_revision` is the SHA-256 of the pack's content. `seed` is concrete, never -1.
    """

    prompt_pack_id: str
    prompt_pack_name: str
    pack_revision: str
    prompt_pack_row_index: int
    positive_prompt: str
    negative_prompt: str
    matrix_slot_values: Annotated[dict[str, str], AfterValidator(_freeze)]
    prompt_layers: tuple[PromptLayer, ...]
    stage_chain: tuple[StageConfig, ...]
    seed: int
    loop_type: Literal["pipeline"]
    loop_count: int
    variant_index: int
    variant_total: int
    batch_index: int
    batch_total: int
    config_variant_label: str
    randomization: Randomization
    run_mode: Literal["QUEUE"]
    queue_source: Literal["RUN_NOW", "ADD_TO_QUEUE"]

    @classmethod
    def from_canonical(cls, text: str, *, sha256: str = "") -> Self:
        """Read a record of this kind back, proved by its hash where that is given.

        Raises RecordChangedError, and pydantic's ValidationError for anything that is not a record of this kind.
        """
        prove(text, sha256)
        return cls.model_validate_json(text)

    @property
    def enabled_stages(self) -> tuple[StageConfig, ...]:
        return tuple(stage for stage in self.stage_chain if stage.enabled)


def canonical_json(record: RecordBase) -> str:
    """The one text of a record: sorted keys, no spaces, no escapes beyond JSON's own; its UTF-8 is hashed.

    Raises ValueError for NaN and infinities, which a record made past validation could hold.
    """
    return _CANONICAL.encode(record.model_dump())


def sha256_text(text: str) -> str:
    """Lower-case hexadecimal SHA-256 of the text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def prove(text: str, sha256: str) -> None:
    """Raises RecordChangedError where the text has another hash; "" is no hash to hold it to."""
    if sha256 and sha256_text(text) != sha256:
        raise RecordChangedError(
            f"The stored record {sha256[:12]} no longer has the hash it was queued with."
        )
