"""A simulator in a process of its own, started and stopped by a test."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from tests.free_ports import free_port

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"Running on local URL:  (http://127\.0\.0\.1:\d+)")
START_S = 120.0
#: A start is fragile for a moment only, which a busy machine may let pass.
STARTS = 20


class SimulatorProcess:
    """`with SimulatorProcess(tmp_path, "--fault", "die@1") as simulator: ...`; the log is a file in the folder."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        port: int | None = None,
        environment: dict[str, str] | None = None,
    ):
        # Not 0: the system may hand out that port again while a test has stopped the server to start it anew.
        port = free_port() if port is None else port
        self.log_path = folder / f"simulator-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "webui.simulator", "--port", str(port), *arguments]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Self:
        self.url = self._address()
        self.port = int(self.url.rpartition(":")[2])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def _address(self) -> str:
        wait_until(lambda: ADDRESS.search(self.log) or self.process.poll() is not None, START_S)
        found = ADDRESS.search(self.log)
        assert found, f"the simulator did not start:\n{self.log}"
        return found[1]

    def post(self, path: str = "txt2img", /, timeout_s: float = 120, **fields: Any) -> requests.Response:
        """A small generation, or any other POST under `/sdapi/v1`."""
        given = (
            {"prompt": "a cat", "seed": 42, "steps": 2, "width": 64, "height": 64} if "2img" in path else {}
        )
        return requests.post(f"{self.url}/sdapi/v1/{path}", json=given | fields, timeout=timeout_s)

    def get(self, path: str) -> Any:
        answer = requests.get(f"{self.url}/sdapi/v1/{path}", timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def task(self, task_id: str) -> Any:
        body = {"id_task": task_id, "live_preview": False}
        return requests.post(f"{self.url}/internal/progress", json=body, timeout=120).json()

    def in_background(self, path: str = "txt2img", /, **fields: Any) -> "Pending":
        return Pending(lambda: self.post(path, **fields))

    def wait_for_step(self, step: int) -> None:
        wait_until(lambda: self.get("progress?skip_current_image=true")["state"]["sampling_step"] >= step)


class Pending:
    """A request on its way; `answer()` waits for what came of it."""

    def __init__(self, send: Callable[[], requests.Response]):
        self._send = send
        self.response: requests.Response | None = None
        self.error: requests.RequestException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.response = self._send()
        except requests.RequestException as error:
            self.error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def answer(self, timeout_s: float = 120) -> requests.Response:
        self._thread.join(timeout_s)
        assert self.response is not None, f"no answer: {self.error!r}"
        return self.response

    def failure(self, timeout_s: float = 120) -> requests.RequestException:
        self._thread.join(timeout_s)
        assert self.error is not None, f"answered: {self.response}"
        return self.error


def wait_until(holds: Callable[[], object], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"still waiting after {timeout_s} s"
        time.sleep(0.01)


def journal_lines(path: Path, event: str | None = None) -> list[dict[str, Any]]:
    # The last line may be half written: it belongs to the next look.
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    lines = [json.loads(line) for line in whole]
    return [line for line in lines if event in (None, line["event"])]
