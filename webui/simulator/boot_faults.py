"""The kinds of fault that strike a start of the process; rules count starts, not requests."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from webui.simulator import tracebacks
from webui.simulator.journal import Journal
from webui.simulator.log import complain


@dataclass
class SimulatedBoot:
    """A start on its way to the open port."""

    journal: Journal
    seconds: float
    """How long it takes until then."""
    comes_up: bool = True


@dataclass(frozen=True)
class BootKind:
    act: Callable[[SimulatedBoot, float], None]
    meaning: str
    seconds: float | None = None
    """What a rule without seconds means; None where the kind takes none."""


def _fail_to_start(boot: SimulatedBoot, seconds: float) -> None:
    boot.comes_up = False


def _start_slowly(boot: SimulatedBoot, seconds: float) -> None:
    boot.seconds = seconds


def give_up(journal: Journal) -> None:
    """The end of a start that fails. Does not return."""
    complain(tracebacks.NO_BOOT)
    journal.end("no-boot", 1)
    os._exit(1)


KINDS: dict[str, BootKind] = {
    "no-boot": BootKind(_fail_to_start, "the process ends with exit code 1 instead of opening its port"),
    "slow-boot": BootKind(_start_slowly, "the port opens after SECONDS (30)", seconds=30.0),
}
