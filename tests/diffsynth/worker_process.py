"""The real worker in a process of its own, with tiny weights, started and ended by a test."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.diffsynth.environment import ROOT, interpreter
from tests.free_ports import free_port

TOKEN = "the token of a test"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""On a busy machine, threads of a tiny model wait for each other longer than they work."""
PATIENCE_S = 240.0
_LISTENING = re.compile(r"^worker listening on (http://\S+) \(kind (\S+)\)$")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class WorkerClient:
    """Asks a worker by address and token."""

    def __init__(self, url: str, token: str = TOKEN) -> None:
        self.url = url
        self.token = token

    def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        answer = requests.request(
            method, f"{self.url}{path}", data=content, headers=given, timeout=PATIENCE_S
        )
        return Answer(answer.status_code, answer.headers, answer.content)

    def health(self) -> Answer:
        return self.ask("GET", "/health")

    def wait_until_loaded(self) -> dict[str, Any]:
        """Its health once it is ready or has failed."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            document = self.health().json
            if document["state"] != "loading":
                return dict(document)
            time.sleep(0.05)
        raise AssertionError("the worker is still loading")

    def put(self, sha256: str, content: bytes) -> Answer:
        return self.ask("PUT", f"/inputs/{sha256}", content)

    def wait_for(self, job_id: str, *states: str) -> dict[str, Any]:
        """The job once it is in one of these states; by default once it has ended."""
        wanted = states or ("done", "failed", "cancelled")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            state = self.ask("GET", f"/jobs/{job_id}").json
            if state["state"] in wanted:
                return dict(state)
            time.sleep(0.01)
        raise AssertionError(f"job {job_id} is still {state}")

    def wait_for_phase(self, job_id: str, phase: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            state = self.ask("GET", f"/jobs/{job_id}").json
            if state["phase"] == phase:
                return dict(state)
            assert state["state"] in {"queued", "running"}, state
            time.sleep(0.005)
        raise AssertionError(f"job {job_id} never came to {phase}")


class WorkerProcess:
    """`with WorkerProcess(configuration_file, weights) as worker: worker.client.health()`."""

    def __init__(
        self,
        config: Path,
        weights: Path,
        *arguments: str,
        allow_modules: bool = True,
        environment: Mapping[str, str] | None = None,
        token: str = TOKEN,
    ) -> None:
        self.log_path = config.with_suffix(f".{time.monotonic_ns()}.log")
        command = [str(interpreter()), "-P", "-m", "webui.drivers.diffsynth.worker", "--config", str(config)]
        command += ["--port", str(free_port()), *arguments]
        command += ["--allow-modules"] * allow_modules
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=config.parent,
                env={
                    **environment_of(weights),
                    "STABLENEW_WORKER_TOKEN": token,
                    # Its own folder lies in the test's, also where it is killed.
                    "TMPDIR": str(config.parent),
                    **(environment or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.token = token

    def __enter__(self) -> WorkerProcess:
        assert self.process.stdout
        self.line = self.process.stdout.readline().decode().strip()
        # The rest of its output: nothing but that line may come, and a full pipe must not stop it.
        self.rest: list[bytes] = []
        self._reader = threading.Thread(target=self._read_rest, daemon=True)
        self._reader.start()
        found = _LISTENING.match(self.line)
        if not found:
            self.end()
            raise AssertionError(f"the worker did not start: {self.line!r}\n{self.log}")
        self.client = WorkerClient(found[1], self.token)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _read_rest(self) -> None:
        assert self.process.stdout
        self.rest.append(self.process.stdout.read())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self._finish_reading()

    def _finish_reading(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.join()
        assert self.process.stdout
        self.process.stdout.close()

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")


def environment_of(weights: Path) -> dict[str, str]:
    """A worker sees the project and the tests, and never more of the tests' own settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("STABLENEW_", "PYTHON"))
    }
    return {**kept, **ONE_THREAD, "PYTHONPATH": str(ROOT), "TEST_WORKER_WEIGHTS": str(weights)}


def tiny_configuration(kind: str, weights: Path, **changes: Any) -> dict[str, Any]:
    """Of a worker of tiny models; a change to None leaves the key out."""
    prefix = {"i2v": "wan", "edit": "qwen"}[kind]
    names = {
        "i2v": {"dit": "wan_dit", "dit2": "wan_dit2", "text_encoder": "wan_text_encoder", "vae": "wan_vae"},
        "edit": {"dit": "qwen_dit", "text_encoder": "qwen_text_encoder", "vae": "qwen_vae"},
    }[kind]
    folder = {"i2v": "tokenizer", "edit": "processor"}[kind]
    document = {
        "kind": kind,
        "name": f"tiny-{prefix}",
        "device": "cpu",
        "dtype": "float32",
        "files": {place: str(weights / f"{name}.safetensors") for place, name in names.items()},
        folder: str(weights / folder),
        "loras": [{"path": str(weights / f"{prefix}_lora.safetensors"), "target": "dit", "strength": 1.0}],
        "registry": "tests.diffsynth.tiny_registry",
        "shim": "tests.diffsynth.torchvision_shim",
    }
    return {key: value for key, value in {**document, **changes}.items() if value is not None}


def write_configuration(folder: Path, document: Mapping[str, Any]) -> Path:
    path = folder / "worker.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def make_weights(folder: Path) -> Path:
    """Tiny random weights in a folder of that name, made in the workers' environment."""
    target = folder / "weights"
    command = [str(interpreter()), "-P", "-m", "tests.diffsynth.make_weights", str(target)]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DIFFSYNTH_SKIP_DOWNLOAD": "True"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment_of(target), **offline},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


class Holds:
    """Lets a worker wait in a phase, or its next job fail; `tiny_models` and the encoder of a test look at it."""

    def __init__(self, folder: Path) -> None:
        self.hold_path = folder / "hold"
        self.held_path = folder / "hold.held"
        self.fault_path = folder / "fault"
        self.encoder = folder / "encoder"
        self.encoder.write_text(
            '#!/bin/sh\nis_held() { grep -qsw save "$TEST_WORKER_HOLD"; }\n'
            'if is_held; then printf save >"$TEST_WORKER_HOLD.held"; fi\n'
            "while is_held; do sleep 0.05; done\n"
            f'exec {shlex.quote(_encoder())} "$@"\n'
        )
        self.encoder.chmod(0o755)
        self.environment = {
            "TEST_WORKER_HOLD": str(self.hold_path),
            "TEST_WORKER_FAULT": str(self.fault_path),
            "IMAGEIO_FFMPEG_EXE": str(self.encoder),
        }

    def hold(self, *phases: str) -> None:
        """From now on, in each of these."""
        self.held_path.unlink(missing_ok=True)
        draft = self.hold_path.with_suffix(".part")
        draft.write_text(" ".join(phases))
        draft.rename(self.hold_path)

    def is_held(self, phase: str) -> bool:
        """Whether a worker waits in this phase."""
        return self.held_path.exists() and self.held_path.read_text() == phase

    def release(self) -> None:
        self.hold_path.unlink(missing_ok=True)

    def fail(self, fault: str) -> None:
        self.fault_path.write_text(fault)

    def fail_no_more(self) -> None:
        self.fault_path.unlink(missing_ok=True)


@functools.cache
def _encoder() -> str:
    command = [str(interpreter()), "-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def running_worker(kind: str, folder: Path, weights: Path) -> Iterator[tuple[str, str]]:
    """The address and the token of a real worker that is ready."""
    config = write_configuration(folder, tiny_configuration(kind, weights))
    with WorkerProcess(config, weights) as worker:
        health = worker.client.wait_until_loaded()
        assert health["state"] == "ready", health
        yield worker.client.url, worker.token
