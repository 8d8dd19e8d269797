"""The steps of one job: time passes, progress moves, interrupts and faults are heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from webui.simulator.log import ProgressLine
from webui.simulator.state import State


@dataclass
class Sampler:
    """Runs passes of steps for one job."""

    state: State
    seconds_per_step: float
    after_first_step: Callable[[], None]
    """Called once per job; where a fault acts that needs a job in progress."""
    begun: bool = False

    def run(self, steps: int, at_step: Callable[[int, int], None] | None = None) -> float:
        """One pass; returns the share (0-1) of its steps that was done before an interrupt or a skip.

        `at_step` is called before each step, with its number from 0 and the count of all.
        Like the real sampler it looks for an interrupt before each step, never within one.
        """
        state = self.state
        state.sampling_steps, state.sampling_step = steps, 0
        line = ProgressLine(steps)
        done = 0
        for step in range(steps):
            if state.interrupted or state.skipped:
                break
            state.sampling_step = step
            if at_step:
                at_step(step, steps)
            if self.seconds_per_step:
                time.sleep(self.seconds_per_step)
            done = step + 1
            line.show(done)
            if not self.begun:
                self.begun = True
                self.after_first_step()
        line.show(done, last=True)
        return done / steps if steps else 1.0


def img2img_steps(steps: int, denoising_strength: float) -> int:
    """img2img does only the share of the steps that its denoising strength asks for, and one more."""
    return int(min(denoising_strength, 0.999) * steps) + 1
