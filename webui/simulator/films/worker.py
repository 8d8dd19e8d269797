"""A simulated worker as one object: settings, loading, inputs, one job at a time. No sockets in here."""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from webui.simulator.fault_rules import Rule
from webui.simulator.films import asked, fault_kinds, limits
from webui.simulator.films.answers import TurnedAwayError
from webui.simulator.films.fault_kinds import JobPoint
from webui.simulator.films.input_pictures import SimulatedInputs
from webui.simulator.films.jobs import SimulatedJob, SimulatedJobs
from webui.simulator.films.start_faults import BROKEN_PHASE, SimulatedWorkerBoot
from webui.simulator.films.switchboard import WorkerSwitchboard
from webui.simulator.films.work import Workplace, work
from webui.simulator.journal import Journal
from webui.simulator.log import complain, say

LOADING_PHASES = ("import", "files", "weights", "loras")
LAST_ANSWER_S = 30.0
"""How long a process that is out of memory waits to be asked once more."""
OUT_OF_MEMORY_EXIT = 70
LORAS = {
    "i2v": (("simulated-lightning-high", "dit"), ("simulated-lightning-low", "dit2")),
    "edit": (("simulated-lightning", "dit"),),
}
TENSORS = 400


@dataclass(frozen=True)
class SimulatedWorkerSettings:
    """What the command line asked for; seconds are real seconds."""

    kind: str
    port: int
    host: str = "127.0.0.1"
    name: str = "simulated"
    any_name: bool = False
    seconds_per_step: float = 0.0
    boot_seconds: float = 0.0
    load_seconds: float = 0.0
    token: str = ""
    journal: Path | None = None
    faults: tuple[Rule, ...] = ()
    fault_file: Path | None = None


class SimulatedWorker:
    def __init__(self, settings: SimulatedWorkerSettings, journal: Journal) -> None:
        self.settings = settings
        self.journal = journal
        self.boot_id = secrets.token_hex(8)
        self.state: Literal["loading", "ready", "failed"] = "loading"
        self.loading_phase = LOADING_PHASES[0]
        self.reason = ""
        self.ready_s = 0.0
        self.jobs = SimulatedJobs()
        self.switchboard = WorkerSwitchboard(settings.kind, settings.faults, settings.fault_file, journal)
        self._newest: SimulatedJob | None = None
        self._accepting = threading.Lock()
        self.inputs = SimulatedInputs(self._inputs_in_use)
        self._place = Workplace(
            inputs=self.inputs,
            model=settings.name,
            loras=tuple(
                {"name": name, "target": target, "strength": 1.0} for name, target in LORAS[settings.kind]
            ),
            jobs=self.jobs,
            die_of_memory=self._die_of_memory,
        )

    @property
    def kind(self) -> str:
        return self.settings.kind

    # --- loading --------------------------------------------------------------------------------------

    def load(self, boot: SimulatedWorkerBoot, port: int) -> None:
        """Through the phases of loading to ready or failed."""
        started_at = time.monotonic()
        for phase in LOADING_PHASES:
            self.loading_phase = phase
            complain(f"loading: {phase}")
            time.sleep(boot.load_seconds / len(LOADING_PHASES))
            if phase == BROKEN_PHASE and (reason := boot.while_loading()):
                self.reason, self.state = reason, "failed"
                complain(f"failed: {reason}")
                return
        self.ready_s = round(time.monotonic() - started_at, 3)
        self.journal.ready(port)
        self.state = "ready"
        say(f"worker ready after {self.ready_s:.1f}s (a simulator: it only draws)")

    def health(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "state": self.state,
            "kind": self.kind,
            "boot": self.boot_id,
            "pid": os.getpid(),
            "simulated": True,
        }
        if self.state == "loading":
            return told | {"phase": self.loading_phase}
        if self.state == "failed":
            return told | {"reason": self.reason}
        current = self._current
        return told | {
            "model": self.settings.name,
            "device": "cpu",
            "job": current.id if current else None,
            "ready_s": self.ready_s,
            "limits": limits.document(self.kind),
            "loras": [
                {"name": name, "target": target, "tensors": TENSORS} for name, target in LORAS[self.kind]
            ],
            "versions": {"simulator": "1", "av": importlib.metadata.version("av")},
            "memory": {"ram_bytes": _ram_bytes(), "vram_used_bytes": None, "vram_total_bytes": None},
        }

    # --- jobs -----------------------------------------------------------------------------------------

    def take(self, body: dict[str, Any]) -> tuple[SimulatedJob, bool]:
        """The job, and whether it is a new one. Raises TurnedAwayError, and ConnectionDropError by a fault."""
        job_id, fingerprint = asked.id_of(body), asked.fingerprint(body)
        with self._accepting:
            job = self.jobs.find(job_id)
            if job is not None and job.fingerprint != fingerprint:
                raise TurnedAwayError(
                    409, "other_job", f"The job {job_id} is here already, and is another one."
                )
            is_new = job is None
            job = job or self._accept(body, fingerprint)
        fault_kinds.strike(JobPoint.ACCEPTED, job)
        return job, is_new

    def _accept(self, body: dict[str, Any], fingerprint: str) -> SimulatedJob:
        models = None if self.settings.any_name else (self.settings.name,)
        job_asked = asked.read(self.kind, body, models)
        current = self._current
        if current is not None:
            facts = {"job": current.id}
            raise TurnedAwayError(409, "busy", f"The worker is busy with {current.id}.", facts=facts)
        for sha256 in job_asked.inputs:
            if sha256 not in self.inputs:
                facts = {"sha256": sha256}
                raise TurnedAwayError(422, "missing_input", f"The picture {sha256} is not here.", facts=facts)
        text = json.dumps(body, sort_keys=True).encode()
        number = self.journal.post("/jobs", text, job_asked.prompt, job_asked.id)
        job = SimulatedJob(job_asked, fingerprint, number, self.journal, self.settings.seconds_per_step)
        job.dues = self.switchboard.dues_of(number, job_asked)
        try:
            fault_kinds.strike(JobPoint.ARRIVAL, job)
        except TurnedAwayError as refusal:
            job.account(refusal.status, "refused")
            raise
        self._newest = job
        self.jobs.add(job)
        threading.Thread(target=work, args=(job, self._place), daemon=True).start()
        return job

    @property
    def _current(self) -> SimulatedJob | None:
        """The job that holds the worker; free again in the moment in which its end can be seen."""
        job = self._newest
        return job if job is not None and job.holds_worker else None

    def _die_of_memory(self, job: SimulatedJob) -> None:
        """Answer once more, then end: what was allocated is in a state that nobody knows."""
        job.failure_told.wait(LAST_ANSWER_S)
        self.journal.end("oom", OUT_OF_MEMORY_EXIT)
        os._exit(OUT_OF_MEMORY_EXIT)

    def _inputs_in_use(self) -> set[str]:
        current = self._current
        return set(current.asked.inputs) if current else set()


def _ram_bytes() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
