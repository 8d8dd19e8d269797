"""What recovery and its caller tell each other; the sequence is in `recovery`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from webui.drivers.a1111.client import Answer, Payload
from webui.errors import WebUIError

T_co = TypeVar("T_co", covariant=True)


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


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a crash. `restart` is False for a bad answer: the server itself works."""

    stage: str
    attempt: int
    error: WebUIError
    restart: bool
    generation: int
    payload_keys: tuple[str, ...]
    artifact_paths: tuple[Path, ...]


class RecoveryHooks(Protocol[T_co]):
    """The caller's part. Whatever these raise that is no `WebUIError` passes through untouched."""

    def before_send(self, sending: Sending) -> None:
        """Before every POST; raises to stop."""

    def perform(self, post: Callable[[], Answer]) -> T_co:
        """Run the POST, prove its answer, return what it is worth; raises `WebUIError`."""

    def failed(self, error: WebUIError, artifact_paths: tuple[Path, ...], *, again: bool) -> None:
        """Once after every POST that failed; `again`: the policy sends it once more, which leaves no artifacts."""

    def crash_suspected(self, evidence: Evidence) -> bool:
        """Charge the one retry; False = there is none left."""

    def waiting(self) -> bool:
        """Asked at least every 0.25 s while we wait; False stops the waiting."""

    def restarted(self, generation: int) -> None:
        """The WebUI is READY again, as this generation."""

    def retry_started(self) -> None:
        """The retry's POST comes next."""


class Sender(Protocol):
    """What recovery needs of a client."""

    def send(self, payload: Payload, *, stage: str) -> Answer:
        """One POST that nobody repeats."""


class RestartAndWait(Protocol):
    """`nodes.restart_and_wait_ready`, or something that stands in for it."""

    def __call__(
        self, node_id: int, *, by: str, reason: str, generation: int, waiting: Callable[[], bool]
    ) -> int:
        """The generation that is READY; 0 when none became so."""
