"""The kinds of fault that strike a worker's start: before its port is open, or while it loads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from webui.simulator.journal import Journal
from webui.simulator.log import complain

NO_BOOT = """Traceback (most recent call last):
  File "/srv/worker/__main__.py", line 31, in <module>
    main()
RuntimeError: simulated failure to start (fault no-boot): Torch is not able to use GPU"""
FAILED_LOAD = (
    "The file /srv/models/high.safetensors of the LoRA for dit fits no layer: 0 tensors were fused "
    "(simulated fault failed-load)."
)
BROKEN_PHASE = "weights"
"""The phase of loading in which a start fails, dies or hangs."""


@dataclass
class SimulatedWorkerBoot:
    """A start on its way to ready."""

    journal: Journal
    seconds: float
    """Until the port opens."""
    load_seconds: float
    """From then on until it is ready."""
    comes_up: bool = True
    while_loading: Callable[[], str | None] = lambda: None
    """WorkerCall in `BROKEN_PHASE`; what it returns is the reason why loading failed."""

    def give_up(self) -> None:
        """The end of a start that fails. Does not return."""
        complain(NO_BOOT)
        self.journal.end("no-boot", 1)
        os._exit(1)


@dataclass(frozen=True)
class StartFault:
    act: Callable[[SimulatedWorkerBoot, float], None]
    meaning: str
    seconds: float | None = None
    """What a rule without seconds means; None where the kind takes none."""


def _fail_to_start(boot: SimulatedWorkerBoot, seconds: float) -> None:
    boot.comes_up = False


def _start_slowly(boot: SimulatedWorkerBoot, seconds: float) -> None:
    boot.seconds = seconds


def _load_slowly(boot: SimulatedWorkerBoot, seconds: float) -> None:
    boot.load_seconds = seconds


def _fail_to_load(boot: SimulatedWorkerBoot, seconds: float) -> None:
    boot.while_loading = lambda: FAILED_LOAD


def _die_while_loading(boot: SimulatedWorkerBoot, seconds: float) -> None:
    def die() -> None:
        complain("Killed (simulated fault die-load)")
        boot.journal.end("died", 1)
        os._exit(1)

    boot.while_loading = die


def _hang_while_loading(boot: SimulatedWorkerBoot, seconds: float) -> None:
    def hang() -> None:
        threading.Event().wait()

    boot.while_loading = hang


START_FAULTS: dict[str, StartFault] = {
    "no-boot": StartFault(_fail_to_start, "the process ends with exit code 1 instead of opening its port"),
    "slow-boot": StartFault(_start_slowly, "the port opens after SECONDS (30)", seconds=30.0),
    "slow-load": StartFault(_load_slowly, "loading takes SECONDS (5)", seconds=5.0),
    "failed-load": StartFault(_fail_to_load, "health stays failed, with a reason"),
    "die-load": StartFault(_die_while_loading, "the process ends with exit code 1 while it loads"),
    "hang-load": StartFault(_hang_while_loading, "it loads for ever"),
}
