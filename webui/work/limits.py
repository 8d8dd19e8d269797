"""The parameters of films and edits: default, range and snapping of each, in one table.

Records, forms, exports, refusals, the worker and the docs read this table. The worker has neither Django nor pydantic,
so the standard library alone is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_INPUT_BYTES: Final = 7_864_320
"""Of one input picture: 10 MB as base64."""
MAX_INPUT_BASE64_BYTES: Final = 10 * 1024 * 1024
MAX_INPUT_PIXELS: Final = 64 * 1024 * 1024
"""Of one input picture, as its header tells: more is never decoded."""
MAX_INPUTS: Final = 4
"""Pictures of one edit; a film begins with one."""
MAX_PROMPT_CHARACTERS: Final = 500
"""Of the prompt and of the negative prompt, each, when everything is filled in."""

SIZE_STEP_PX: Final = 16
FRAME_STEP: Final = 4
"""A film has a multiple of these frames and one more: the video model packs them so."""

AUTO: Final = 0
"""A width and height that follow the input picture."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One number: `low` and `high` belong to the range. `unit` is a word for people, "" for a bare number.

    A value of `auto` True may also be `AUTO`, and it is the default. Values snap to `step` multiples plus `offset`;
    0 is no snapping.
    """

    default: int | float
    low: int | float
    high: int | float
    unit: str = ""
    step: int = 0
    offset: int = 0
    auto: bool = False

    @property
    def whole(self) -> bool:
        """Only whole numbers are taken."""
        return isinstance(self.default, int)

    def allows(self, value: float) -> bool:
        return (self.auto and value == AUTO) or self.low <= value <= self.high

    def snapped(self, value: int) -> int:
        """The nearest value that is taken as it is; the larger one from half-way on. `AUTO` stays."""
        if not self.step or (self.auto and value == AUTO):
            return value
        times = (value - self.offset + self.step / 2) // self.step
        return min(int(self.high), max(int(self.low), int(times) * self.step + self.offset))

    @property
    def range_words(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        follows = f", or {AUTO} to follow the shape of the picture" * self.auto
        return f"{self.low:,g}-{self.high:,g}{unit}{follows}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words; the first is the default."""

    values: tuple[str, ...]

    @property
    def default(self) -> str:
        return self.values[0]


_STEPS = (1, 100)
_CFG = (0.1, 20.0)

LIGHTNING: Final = "lightning"

I2V: Final[Mapping[str, Limit | Choice]] = {
    "width": Limit(AUTO, 64, 1920, "pixels", step=SIZE_STEP_PX, auto=True),
    "height": Limit(AUTO, 64, 1920, "pixels", step=SIZE_STEP_PX, auto=True),
    "num_frames": Limit(81, 5, 241, "frames", step=FRAME_STEP, offset=1),
    "fps": Limit(16, 1, 60, "frames per second"),
    "steps": Limit(8, *_STEPS),
    "cfg_scale": Limit(1.0, *_CFG),
    "boundary": Limit(0.9, 0.0, 1.0),
    "sigma_shift": Limit(5.0, 0.1, 20.0),
    "fit": Choice(("crop", "pad")),
}
"""Wan 2.2 I2V. `boundary` is where the second model takes over, as a share of the noise; the defaults are those of its
Lightning LoRAs."""

EDIT: Final[Mapping[str, Limit | Choice]] = {
    "width": Limit(AUTO, 64, 2048, "pixels", step=SIZE_STEP_PX, auto=True),
    "height": Limit(AUTO, 64, 2048, "pixels", step=SIZE_STEP_PX, auto=True),
    "steps": Limit(4, *_STEPS),
    "cfg_scale": Limit(1.0, *_CFG),
    "scheduler": Choice((LIGHTNING, "default")),
}
"""Qwen-Image-Edit; the defaults are those of its Lightning LoRA."""

LIMITS: Final[Mapping[str, Mapping[str, Limit | Choice]]] = {"i2v": I2V, "edit": EDIT}
"""By kind of work (`webui.kinds`)."""

AUTO_PIXELS: Final[Mapping[str, int]] = {"i2v": 832 * 480, "edit": 1024 * 1024}
"""Of a result whose size follows its picture: the same shape with about so many pixels."""


def auto_size(kind: str, width_px: int, height_px: int) -> tuple[int, int]:
    """Width and height of a result in the shape of its picture, snapped and within the limits."""
    scale = (AUTO_PIXELS[kind] / (width_px * height_px)) ** 0.5
    sides = (("width", width_px), ("height", height_px))
    limits = LIMITS[kind]
    width, height = (_number(limits[name]).snapped(round(side * scale)) for name, side in sides)
    return width, height


def _number(limit: Limit | Choice) -> Limit:
    if not isinstance(limit, Limit):
        raise TypeError("a size has a range")
    return limit
