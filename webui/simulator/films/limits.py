"""What a simulated worker takes: default, range and grid of each parameter, by kind."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MAX_INPUT_BYTES = 7_864_320
MAX_INPUT_PIXELS = 64 * 1024 * 1024
MAX_INPUTS = 4
MAX_PROMPT_CHARACTERS = 500
MAX_SEED = 2**32 - 1
AUTO = 0
"""A width or height that follows the picture."""


@dataclass(frozen=True)
class SimulatedRange:
    """Values snap to `step` multiples plus `offset`; 0 is no grid. `auto`: `AUTO` is taken, too."""

    default: int | float
    low: int | float
    high: int | float
    unit: str = ""
    step: int = 0
    offset: int = 0
    auto: bool = False

    def problem_of(self, value: object) -> str | None:
        """A sentence where the value is not taken."""
        whole = isinstance(self.default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            return f"{value!r} is not a {'whole ' if whole else ''}number"
        if self.auto and value == AUTO:
            return None
        if not self.low <= value <= self.high:
            return f"{value} is not within {self.low} to {self.high}"
        if self.step and (value - self.offset) % self.step:
            return f"{value} is not a multiple of {self.step}" + (
                f" plus {self.offset}" if self.offset else ""
            )
        return None

    def taken(self, value: float) -> float:
        """As it is used, and told of."""
        return value if isinstance(self.default, int) else float(value)

    def snapped(self, value: int) -> int:
        times = (value - self.offset + self.step / 2) // self.step
        return min(int(self.high), max(int(self.low), int(times) * self.step + self.offset))


@dataclass(frozen=True)
class SimulatedChoice:
    values: tuple[str, ...]

    @property
    def default(self) -> str:
        return self.values[0]

    def problem_of(self, value: object) -> str | None:
        """A sentence where the value is not taken."""
        return None if value in self.values else f"{value!r} is none of {', '.join(self.values)}"

    def taken(self, value: str) -> str:
        return value


LIMITS: dict[str, dict[str, SimulatedRange | SimulatedChoice]] = {
    "i2v": {
        "width": SimulatedRange(AUTO, 64, 1920, "pixels", step=16, auto=True),
        "height": SimulatedRange(AUTO, 64, 1920, "pixels", step=16, auto=True),
        "num_frames": SimulatedRange(81, 5, 241, "frames", step=4, offset=1),
        "fps": SimulatedRange(16, 1, 60, "frames per second"),
        "steps": SimulatedRange(8, 1, 100),
        "cfg_scale": SimulatedRange(1.0, 0.1, 20.0),
        "boundary": SimulatedRange(0.9, 0.0, 1.0),
        "sigma_shift": SimulatedRange(5.0, 0.1, 20.0),
        "fit": SimulatedChoice(("crop", "pad")),
    },
    "edit": {
        "width": SimulatedRange(AUTO, 64, 2048, "pixels", step=16, auto=True),
        "height": SimulatedRange(AUTO, 64, 2048, "pixels", step=16, auto=True),
        "steps": SimulatedRange(4, 1, 100),
        "cfg_scale": SimulatedRange(1.0, 0.1, 20.0),
        "scheduler": SimulatedChoice(("lightning", "default")),
    },
}
MOST_INPUTS = {"i2v": 1, "edit": MAX_INPUTS}
AUTO_PIXELS = {"i2v": 832 * 480, "edit": 1024 * 1024}
"""Of a result that follows its picture: about so many pixels in the same shape."""


def document(kind: str) -> dict[str, Any]:
    """The table of a kind, as health tells it."""
    return {name: {"default": limit.default, **asdict(limit)} for name, limit in LIMITS[kind].items()}


def auto_size(kind: str, picture: tuple[int, int]) -> tuple[int, int]:
    scale = (AUTO_PIXELS[kind] / (picture[0] * picture[1])) ** 0.5
    width, height = (_side(kind, name, side * scale) for name, side in zip(SIDES, picture, strict=True))
    return width, height


SIDES = ("width", "height")


def _side(kind: str, name: str, pixels: float) -> int:
    limit = LIMITS[kind][name]
    return limit.snapped(round(pixels)) if isinstance(limit, SimulatedRange) else round(pixels)
