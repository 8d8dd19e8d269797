"""What is known of a picture, setting by setting, and the verdict that follows from it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jobs.lifecycle import TruthVerdict
from webui.work.testimony import Saying, Witness


class FieldVerdict(StrEnum):
    """What is known of one setting. NOT_TOLD is never shown as "as asked"."""

    VERIFIED = "verified"
    NOT_TOLD = "not told"
    DRIFT = "drift"


PICTURES, WHOLE, CONTENT, SIZE, ENLARGED, CHANGED, DISTINCT = (
    "Pictures",
    "Whole",
    "Content",
    "Size",
    "Enlarged",
    "Changed",
    "Distinct",
)
FRAMES, RATE, MOTION = "Frame count", "Frame rate", "Motion"
"""What no request names and every picture or film must be; the other fields are those of `Testimony.field`."""
CHECKPOINT: Final = "Checkpoint"
PLAIN_RESIZE: Final = "Lanczos"
GRAVE: Final = frozenset({PICTURES, WHOLE, CONTENT, SIZE, FRAMES, RATE, MOTION, CHECKPOINT})
"""A drift in one of these leaves nothing of use; the others change little."""


@dataclass(frozen=True, slots=True)
class FieldOutcome:
    """One row of a judgement. `used` is "" where nobody says; `by` says who decided, `why` what else is to be known."""

    field: str
    outcome: FieldVerdict
    asked: str = ""
    used: str = ""
    by: Witness | None = None
    why: str = ""
    sayings: tuple[Saying, ...] = ()

    @property
    def grave(self) -> bool:
        return self.outcome is FieldVerdict.DRIFT and self.field in GRAVE

    @property
    def only_resized(self) -> bool:
        """What came is the input, plainly enlarged: the upscaler that was asked for did nothing."""
        by_pixels = self.outcome is FieldVerdict.DRIFT and self.by is Witness.PIXELS
        return by_pixels and self.used == PLAIN_RESIZE


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found of one picture. `contradicts` says what the server's lists are wrong about, "" for nothing."""

    fields: tuple[FieldOutcome, ...]
    contradicts: str = ""

    @property
    def drifts(self) -> tuple[FieldOutcome, ...]:
        return tuple(one for one in self.fields if one.outcome is FieldVerdict.DRIFT)

    @property
    def verdict(self) -> TruthVerdict:
        if self.drifts:
            return TruthVerdict.DRIFTED
        told = all(one.outcome is FieldVerdict.VERIFIED for one in self.fields)
        return TruthVerdict.VERIFIED if told else TruthVerdict.UNPROVEN


def worst(verdicts: Sequence[str]) -> str:
    """The verdict of a job; "" where nothing was judged."""
    if "" in verdicts and any(verdicts):
        verdicts = [one or TruthVerdict.UNPROVEN for one in verdicts]
    order = (TruthVerdict.DRIFTED, TruthVerdict.UNPROVEN, TruthVerdict.VERIFIED)
    return next((str(one) for one in order if one in verdicts), "")
