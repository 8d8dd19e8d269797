"""The refiner: another checkpoint takes over for the last share of the steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webui.simulator.checkpoints import Checkpoint, Checkpoints

NO_NAMES = (None, "", "None", "none")
NOISE_RANGE = 0.999
"""The share of the noise that the last step has left behind, whatever the number of steps."""


@dataclass
class Refiner:
    checkpoint: Checkpoint
    switch_at: float | None
    """Share of the way (0-1) after which it takes over; None: from the first step."""
    checkpoints: Checkpoints
    has_worked: bool = False

    def at_step(self, step: int, steps: int) -> None:
        """Take over, if it is time. The server loads its checkpoint then and there."""
        done = step / (steps - 1) * NOISE_RANGE if steps > 1 else 0.0
        is_due = self.switch_at is None or done >= self.switch_at
        if is_due and self.checkpoints.loaded is not self.checkpoint:
            self.checkpoints.load(self.checkpoint)
            self.has_worked = True

    @property
    def share(self) -> float:
        """Its share (0-1) of the picture."""
        return 1.0 - min(max(self.switch_at or 0.0, 0.0), 1.0) if self.has_worked else 0.0

    def shown(self) -> dict[str, Any]:
        """Its part of the infotext; nothing where it never came to work."""
        if not self.has_worked:
            return {}
        return {"Refiner": self.checkpoint.short_title, "Refiner switch at": self.switch_at}


def wanted(fields: dict[str, Any], checkpoints: Checkpoints) -> Refiner | None:
    """Raises EscapedError where the named checkpoint is not known."""
    name = fields["refiner_checkpoint"]
    if name in NO_NAMES:
        return None
    return Refiner(checkpoints.required(name), fields["refiner_switch_at"], checkpoints)
