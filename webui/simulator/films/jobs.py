"""One job of a worker from its acceptance to its end, and the table that remembers the newest ones."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from webui.simulator.fault_rules import Due, Rule
from webui.simulator.films.asked import AskedJob
from webui.simulator.films.painting import FilmOrder
from webui.simulator.journal import Journal

PHASES = ("prepare", "encode", "denoise", "decode", "save")
ENDED = ("done", "failed", "cancelled")
REMEMBERED_JOBS = 100
KEPT_RESULTS = 20
LISTED = 20
OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True)
class SimulatedResult:
    """`told`: what the answers say of the file; a fault may have made it a lie."""

    told: dict[str, Any]
    file: IO[bytes] | None
    """Without a name, so that nothing is left of it however the process ends. None once it has aged out."""


def kept(content: bytes, told: dict[str, Any]) -> SimulatedResult:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives longer than this call
    file.write(content)
    file.flush()
    facts = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return SimulatedResult({**told, **facts}, file)


@dataclass
class SimulatedJob:
    asked: AskedJob
    fingerprint: str
    number: int
    """In the journal, over all starts."""
    journal: Journal
    seconds_per_step: float
    dues: tuple[Due, ...] = ()
    state: str = "queued"
    progress: tuple[str, int, int] = ("", 0, 0)
    """The phase, and its step of so many; only denoise has steps."""
    error: dict[str, str] | None = None
    result: SimulatedResult | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    failure_told: threading.Event = field(default_factory=threading.Event)
    """Somebody has been answered that it failed."""
    fault: str | None = None
    """The kind of the last fault that acted."""
    order_changes: list[Callable[[FilmOrder], FilmOrder]] = field(default_factory=list)
    byte_changes: list[Callable[[bytes], bytes]] = field(default_factory=list)
    is_forgotten: bool = False
    cuts_answer: bool = False
    tells_another_hash: bool = False
    began_at: float | None = None
    ended_at: float | None = None

    @property
    def id(self) -> str:
        return self.asked.id

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def holds_worker(self) -> bool:
        """After one that ran out of memory the process takes no other any more."""
        return not self.has_ended or (self.error or {}).get("code") == OUT_OF_MEMORY

    def document(self) -> dict[str, Any]:
        # The state first: what belongs to an end is there before it.
        state = self.state
        phase, step, steps = self.progress
        elapsed = 0.0
        if self.began_at is not None:
            elapsed = (self.ended_at or time.monotonic()) - self.began_at
        return {
            "id": self.id,
            "state": state,
            "phase": phase,
            "step": step,
            "steps": steps,
            "elapsed_s": round(elapsed, 3),
            "error": self.error if state == "failed" else None,
            "result": self.result.told if self.result and state == "done" else None,
        }

    def strike(self, due: Due) -> Rule | None:
        """The rule, and a line in the journal, if it may still act."""
        if not self.journal.strike(due.rule.kind, due.rule.text, self.number, at_most=due.at_most):
            return None
        self.fault = due.rule.kind
        return due.rule

    def account(self, status: int | None, outcome: str) -> None:
        """Write to the journal how it ends."""
        images = int(outcome == "answered")
        self.journal.answer(self.number, "/jobs", status, outcome, fault=self.fault, images=images)


class SimulatedJobs:
    """Bounded: the oldest that have ended are forgotten, and results go before their jobs."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._jobs: OrderedDict[str, SimulatedJob] = OrderedDict()

    def add(self, job: SimulatedJob) -> None:
        with self._guard:
            self._jobs[job.id] = job
            for old in [one for one in self._jobs.values() if one.has_ended]:
                if len(self._jobs) <= REMEMBERED_JOBS:
                    break
                del self._jobs[old.id]

    def find(self, job_id: str) -> SimulatedJob | None:
        with self._guard:
            return self._jobs.get(job_id)

    def forget(self, job: SimulatedJob) -> None:
        with self._guard:
            self._jobs.pop(job.id, None)

    def newest(self) -> list[SimulatedJob]:
        with self._guard:
            return list(reversed(self._jobs.values()))[:LISTED]

    def content_of(self, job: SimulatedJob) -> tuple[dict[str, Any], bytes] | None:
        """What is told of its result, and the bytes; None where there are none (any more)."""
        with self._guard:
            if job.result is None or job.result.file is None:
                return None
            job.result.file.seek(0)
            return job.result.told, job.result.file.read()

    def age_results(self) -> None:
        """Only the newest results are kept."""
        with self._guard:
            held = [job for job in self._jobs.values() if job.result and job.result.file]
            for job in held[:-KEPT_RESULTS]:
                if job.result and job.result.file:
                    job.result.file.close()
                    job.result = SimulatedResult(job.result.told, None)
