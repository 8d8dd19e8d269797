"""The base of every value that outside data becomes: parsed once at the door, then typed and unchangeable."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenValue(BaseModel):
    """Frozen, closed and typed to the letter: "20" is not 20, and NaN is nothing at all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
