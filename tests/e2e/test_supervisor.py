"""The service manager with children of a few lines each: restarts, order of stopping, deadlines."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stablenew_site import supervisor as module
from stablenew_site.supervisor import ChildSpec, Supervisor, exit_sentence

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
OBEDIENT = "import time; print('up', flush=True); time.sleep(60)"


def child(folder: Path, name: str, code: str, *, stops_first: bool = False) -> ChildSpec:
    return ChildSpec(name, [sys.executable, "-c", code], folder / f"{name}.log", stops_first=stops_first)


def text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


class Run:
    """A supervisor in the main thread, with steps that a second thread takes against it."""

    def __init__(self, *specs: ChildSpec) -> None:
        self.said: list[str] = []
        self.supervisor = Supervisor(env=dict(os.environ), say=self.said.append)
        for spec in specs:
            self.supervisor.add(spec)

    def wait_for(self, path: Path, count: int = 1, word: str = "up") -> None:
        deadline_s = time.monotonic() + 120
        while text(path).count(word) < count and time.monotonic() < deadline_s:
            time.sleep(0.02)

    def until(self, *steps: object) -> bool:
        def act() -> None:
            try:
                for step in steps:
                    assert callable(step)
                    step()
            except BaseException:
                # Else the supervisor in the main thread would run on for ever.
                terminate_self()
                raise

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        clean = self.supervisor.run()
        thread.join(120)
        return clean


def terminate_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_child_that_dies_starts_again_after_a_growing_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.1, 0.3))
    dying = child(tmp_path, "dying", "print('up', flush=True); raise SystemExit(7)")
    run = Run(dying)
    assert run.until(lambda: run.wait_for(dying.log, 4), terminate_self)
    told = [line for line in run.said if "starts again" in line]
    assert [line.partition("again in ")[2].split()[0] for line in told[:3]] == ["0.1", "0.3", "0.3"]
    assert "exit code 7" in told[0]
    assert str(dying.log) in told[0]


def test_a_retired_child_ends_alone_and_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.0,))
    leaving, staying = child(tmp_path, "leaving", OBEDIENT), child(tmp_path, "staying", OBEDIENT)
    run = Run(leaving, staying)
    alone: list[bool] = []

    def wait_until_it_has_gone() -> None:
        deadline_s = time.monotonic() + 60
        while len(run.supervisor.children) > 1 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        alone.append([kept.spec.name for kept in run.supervisor.children] == ["staying"])

    assert run.until(
        lambda: run.wait_for(leaving.log),
        lambda: run.wait_for(staying.log),
        lambda: run.supervisor.retire(leaving),
        wait_until_it_has_gone,
        terminate_self,
    )
    assert alone == [True]
    assert text(leaving.log).count("up") == 1
    assert not [line for line in run.said if "starts again" in line]


def test_a_child_that_leaves_before_the_look_that_retires_it_is_no_failure(tmp_path: Path) -> None:
    leaving = child(tmp_path, "leaving", "print('up', flush=True)")
    run = Run(leaving)
    # It is noticed to be gone long before the next look of its own time.
    run.supervisor.look = lambda: run.supervisor.retire(leaving)
    assert run.until(lambda: run.wait_for(leaving.log), lambda: time.sleep(0.7), terminate_self)
    assert not [line for line in run.said if "starts again" in line]
    assert text(leaving.log).count("up") == 1


def test_workers_are_gone_before_the_web_server_is_asked_to_stop(tmp_path: Path) -> None:
    slow = (
        "import signal,sys,time\n"
        "def leave(*a):\n time.sleep(0.5); print('left', time.monotonic(), flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave); print('up', flush=True)\n"
        "while True: time.sleep(0.05)"
    )
    web = child(tmp_path, "web", slow)
    worker = child(tmp_path, "worker", slow, stops_first=True)
    run = Run(web, worker)
    assert run.until(lambda: run.wait_for(web.log), lambda: run.wait_for(worker.log), terminate_self)
    left = {path.stem: float(text(path).split()[-1]) for path in (web.log, worker.log)}
    assert left["web"] - left["worker"] > 0.4


def test_a_second_signal_reaches_the_workers_as_a_second_term(tmp_path: Path) -> None:
    counting = (
        "import signal,sys,time\n"
        "n = 0\n"
        "def count(*a):\n global n; n += 1; print('term', flush=True)\n if n == 2: sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, count); print('up', flush=True)\n"
        "while True: time.sleep(0.05)"
    )
    worker = child(tmp_path, "worker", counting, stops_first=True)
    run = Run(worker)
    assert run.until(
        lambda: run.wait_for(worker.log),
        terminate_self,
        lambda: run.wait_for(worker.log, word="term"),
        terminate_self,
    )
    assert text(worker.log).count("term") == 2


def test_a_child_that_does_not_stop_is_killed_at_the_deadline_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_DEADLINE_S", 21.0)
    monkeypatch.setattr(module, "RESERVE_S", 20.0)  # what the obedient one may take on a busy machine
    stubborn = child(tmp_path, "stubborn", STUBBORN, stops_first=True)
    obedient = child(tmp_path, "obedient", OBEDIENT)
    run = Run(stubborn, obedient)
    assert not run.until(
        lambda: run.wait_for(stubborn.log), lambda: run.wait_for(obedient.log), terminate_self
    )
    assert any("stubborn" in line and "killed" in line for line in run.said)
    assert not any("obedient" in line for line in run.said)
    assert all(not entry.alive for entry in run.supervisor.children)


def test_what_a_child_forked_into_its_session_ends_with_it(tmp_path: Path) -> None:
    forking = (
        "import subprocess,sys,time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('up', p.pid, flush=True); time.sleep(60)"
    )
    parent = child(tmp_path, "parent", forking)
    run = Run(parent)
    assert run.until(lambda: run.wait_for(parent.log), terminate_self)
    grandchild = int(text(parent.log).split()[1])
    deadline_s = time.monotonic() + 60
    while Path(f"/proc/{grandchild}").exists() and "Z" not in _state(grandchild):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_child_whose_log_folder_has_gone_starts_again_with_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.3,))
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    logs.mkdir()
    healthy, dying = child(logs, "healthy", OBEDIENT), child(logs, "dying", OBEDIENT)
    run = Run(healthy, dying)

    def move_away_and_kill() -> None:
        logs.rename(elsewhere)
        process_of(run, dying).kill()

    assert run.until(
        lambda: run.wait_for(healthy.log),
        lambda: run.wait_for(dying.log),
        move_away_and_kill,
        lambda: run.wait_for(dying.log),
        terminate_self,
    )
    assert text(elsewhere / "healthy.log").count("up") == 1
    assert text(dying.log).count("up") == 1


def test_child_whose_log_cannot_be_written_works_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.0,))
    logs, made = tmp_path / "logs", tmp_path / "made"
    logs.mkdir()
    made.touch()
    code = f"open({str(made)!r}, 'a').write('up'); print('up', flush=True); import time; time.sleep(60)"
    healthy, dying = child(logs, "healthy", OBEDIENT), child(logs, "dying", code)
    run = Run(healthy, dying)

    def block_and_kill() -> None:
        dying.log.unlink()
        dying.log.mkdir()
        process_of(run, dying).kill()

    assert run.until(
        lambda: run.wait_for(healthy.log),
        lambda: run.wait_for(made),
        block_and_kill,
        lambda: run.wait_for(made, 2),
        terminate_self,
    )
    assert text(healthy.log).count("up") == 1
    assert [line for line in run.said if line.startswith("dying starts without its log")]


def test_child_that_cannot_be_started_is_tried_again_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has no process left for a while."""
    monkeypatch.setattr(module, "BACKOFF_S", (0.1, 0.2, 0.3))
    healthy, dying = child(tmp_path, "healthy", OBEDIENT), child(tmp_path, "dying", OBEDIENT)
    run = Run(healthy, dying)
    failures = [OSError(errno.EAGAIN, "Resource temporarily unavailable"), OSError(errno.EMFILE, "Too many")]
    begin = subprocess.Popen

    def fork(argv: list[str], **options: Any) -> Any:
        if dying.log.exists() and "up" in text(dying.log) and failures:
            raise failures.pop(0)
        return begin(argv, **options)

    monkeypatch.setattr("stablenew_site.supervisor.subprocess.Popen", fork)
    assert run.until(
        lambda: run.wait_for(healthy.log),
        lambda: run.wait_for(dying.log),
        lambda: process_of(run, dying).kill(),
        lambda: run.wait_for(dying.log, 2),
        terminate_self,
    )
    told = [line.partition("; again in ") for line in run.said if "cannot be started" in line]
    assert [pause for _, _, pause in told] == ["0.2 s.", "0.3 s."]
    assert "Resource temporarily unavailable" in told[0][0]
    assert text(healthy.log).count("up") == 1


def process_of(run: Run, spec: ChildSpec) -> subprocess.Popen[bytes]:
    [process] = [entry.process for entry in run.supervisor.children if entry.spec is spec]
    assert process is not None
    return process


def test_a_large_log_is_set_aside_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    spec = child(tmp_path, "chatty", OBEDIENT)
    spec.log.write_text("x" * 11)
    run = Run(spec)
    run.until(lambda: run.wait_for(spec.log), terminate_self)
    assert text(spec.log).strip() == "up"
    assert text(spec.log.with_suffix(".log.1")) == "x" * 11


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL")]
)
def test_an_exit_status_is_said_as_people_say_it(code: int, words: str) -> None:
    assert exit_sentence(code) == words
