"""A caller of recovery that does what `jobs.running.unit.UnitRun` does, without its tables: it sends, proves, keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from webui.errors import WebUIError
from webui.evidence.failure_artifacts import FailureEvidence
from webui.recovery.hooks import Sending
from webui.work.unit import Request


class NoPatienceError(Exception):
    """The caller wants something else than to wait on."""


class Sender(Protocol):
    """What the caller needs of a server."""

    def send(self, request: Request) -> Sequence[bytes]:
        """One POST that nobody repeats."""


@dataclass(frozen=True)
class Suspicion:
    """What was known, and on disk, when the one retry was asked for."""

    error: WebUIError
    restart: bool
    sending: Sending
    artifact_paths: tuple[Path, ...]


def worth(pictures: Sequence[bytes]) -> str:
    """What an answer is worth to whoever looks only whether there is one."""
    assert all(pictures)
    return "worth"


@dataclass
class Caller:
    """Writes down every call in order; `retries` is its whole budget, `patience` how often it goes on waiting."""

    server: Sender
    evidence: FailureEvidence
    retries: int = 1
    patience: int = 1_000
    before: Callable[[Sending], None] = lambda sending: None
    prove: Callable[[Sequence[bytes]], str] = worth
    calls: list[str] = field(default_factory=list)
    sendings: list[Sending] = field(default_factory=list)
    failures: list[tuple[WebUIError, tuple[Path, ...]]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What it could tell of each failure at once."""
    suspicions: list[Suspicion] = field(default_factory=list)
    asked: int = 0

    def send(self, sending: Sending) -> str:
        self.calls.append("begin")
        self.sendings.append(sending)
        self.before(sending)
        self.calls.append("post")
        try:
            return self.prove(self.server.send(self.evidence.request))
        except WebUIError as error:
            raise self.evidence.redact(error) from error.__cause__

    def leftover_is_over(self) -> bool:
        self.calls.append("leftover")
        return True

    def failed(self, error: WebUIError, *, again: bool) -> None:
        self.calls.append("failed")
        paths: tuple[Path, ...] = ()
        if not again:
            sending = self.sendings[-1]
            paths = self.evidence.write(error, attempt=sending.attempt, generation=sending.generation)
        self.failures.append((error, paths))
        self.told += [str(error), repr(error), str(error.facts())]
        self.told += [repr(error.__cause__), repr(error.__context__)]

    def crash_suspected(self, error: WebUIError, *, restart: bool) -> bool:
        self.calls.append("crash_suspected")
        self.suspicions.append(Suspicion(error, restart, self.sendings[-1], self.evidence.newest))
        self.retries -= 1
        return self.retries >= 0

    def waiting(self) -> Literal[True]:
        self.asked += 1
        if self.asked > self.patience:
            raise NoPatienceError
        return True

    def restarted(self, generation: int) -> None:
        self.calls.append(f"restarted {generation}")

    def retry_started(self) -> None:
        self.calls.append("retry_started")
