"""A simulated worker of films or edits in a process of its own, started and stopped by a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.contract.simulator_process import ROOT, journal_lines, wait_until
from tests.contract.worker_client import RunningWorker
from tests.free_ports import free_port

LISTENS = re.compile(r"worker listening on (http://127\.0\.0\.1:\d+) \(kind (i2v|edit)\)")
TOKEN = "a token of the tests"


class SimulatedWorkerProcess:
    """`with SimulatedWorkerProcess(tmp_path, "i2v", "--fault", "die@1") as process: ...`; without a word it is instant.

    Its log and its journal are files in the folder; several in one folder share the journal.
    """

    def __init__(
        self, folder: Path, kind: str, *words: str, waits: bool = True, port: int | None = None
    ) -> None:
        """`waits`: until it is ready."""
        self.kind = kind
        self.journal_path = folder / "journal"
        self.log_path = folder / f"worker-{time.monotonic_ns()}.log"
        self._waits = waits
        command = [sys.executable, "-m", "webui.simulator", "--kind", kind]
        command += ["--port", str(free_port() if port is None else port), "--journal", str(self.journal_path)]
        command += ["--seconds-per-step", "0", "--load-seconds", "0", *words]
        environment = {**os.environ, "STABLENEW_WORKER_TOKEN": TOKEN}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Self:
        try:
            wait_until(lambda: LISTENS.search(self.log) or self.process.poll() is not None)
            found = LISTENS.search(self.log)
            assert found, f"the worker did not start:\n{self.log}"
            assert found[2] == self.kind
            self.worker = RunningWorker(found[1], TOKEN, self.kind)
            if self._waits:
                self.worker.wait_until_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def told(self, event: str | None = None) -> list[dict[str, Any]]:
        """What its journal tells."""
        return journal_lines(self.journal_path, event)
