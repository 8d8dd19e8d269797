"""How long a server is waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds. All but `connect_s` bound each silence of the server and the answer as a whole."""

    connect_s: float = 3.0
    progress_s: float = 5.0
    """Progress, interrupt, skip: asked while a request runs, answered at once by a healthy server."""
    small_s: float = 10.0
    queued_s: float = 300.0
    """Requests that wait behind the running one: refresh-*, POST options."""
    generation_s: float = 1800.0
    """The stage's deadline."""


DEFAULT_TIMEOUTS = Timeouts()
