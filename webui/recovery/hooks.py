"""What recovery and its caller tell each other; the sequence is in `recovery`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from webui.errors import WebUIError


@dataclass(frozen=True, slots=True)
class Sending:
    """A POST that is about to leave: the `attempt`-th (from 1) of the policy, after a wait of `wait_s`.

    `generation` is the boot of the WebUI that will get it.
    """

    stage: str
    attempt: int
    max_attempts: int
    wait_s: float
    in_retry: bool
    generation: int


class RecoveryHooks(Protocol):
    """The caller's part. Whatever these raise that is no `WebUIError` passes through untouched."""

    def failed(self, error: WebUIError, *, again: bool) -> None:
        """Once after every POST that failed; `again`: the policy sends it once more, which leaves no evidence."""

    def crash_suspected(self, error: WebUIError, *, restart: bool) -> bool:
        """Charge the one retry; False = there is none left. No `restart` for a bad answer: the server itself works."""

    def leftover_is_over(self) -> bool:
        """One look at a request whose answer was lost: interrupt it, and whether it is over at the WebUI."""

    def waiting(self) -> Literal[True]:
        """Asked at least every 0.25 s while we wait: True to wait on, or raises what is wanted instead."""

    def restarted(self, generation: int) -> None:
        """The WebUI is READY again, as this generation: that which failed, where nobody could restart it."""

    def retry_started(self) -> None:
        """The retry's POST comes next."""


class RestartAndWait(Protocol):
    """`wishes.restart_and_wait_ready`, or something that stands in for it."""

    def __call__(
        self, node_id: int, *, by: str, reason: str, generation: int, waiting: Callable[[], bool]
    ) -> int:
        """The generation that is READY, the same where it was not restarted; 0 when none became so."""
