"""Rules of one WebUI process: its session, how it is recognised, how its family ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from webui.processes import process
from webui.processes.process import Identity
from webui.processes.start_ticks import start_ticks

ROOT = Path(__file__).parents[2]
SLEEP = "import time; time.sleep(60)"
SAYS_READY = "import sys, time; print('up', flush=True); time.sleep(60)"
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SAYS_READY


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Boots:
    """Spawns programs as boots of a node and ends whatever is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identities: list[Identity] = []

    def spawn(self, program: str) -> Identity:
        number = len(self.identities) + 1
        identity = Identity(node_id=1, generation=number, nonce=process.new_nonce())
        started = process.spawn(
            [sys.executable, "-c", program], identity=identity, log_directory=self.log_directory(number)
        )
        known = replace(identity, pid=started.pid, start_ticks=started.start_ticks, boot_id=started.boot_id)
        self.identities.append(known)
        return known

    def log_directory(self, number: int) -> Path:
        return self.folder / f"boot-{number}"

    def said(self, identity: Identity) -> str:
        return (self.log_directory(identity.generation) / "stdout.log").read_text()

    def spawn_until_up(self, program: str) -> Identity:
        identity = self.spawn(program)
        wait_until(lambda: bool(self.said(identity)))
        return identity


@pytest.fixture
def boots(tmp_path: Path) -> Iterator[Boots]:
    boots = Boots(tmp_path)
    yield boots
    for identity in boots.identities:
        process.end(identity, grace_s=0)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as child:
        yield child
        child.kill()


def pid_of(identity: Identity) -> int:
    assert identity.pid is not None
    return identity.pid


def test_child_runs_in_a_session_of_its_own(boots: Boots) -> None:
    pid = pid_of(boots.spawn(SLEEP))
    assert os.getsid(pid) == pid != os.getsid(0)


def test_child_carries_node_generation_and_nonce(boots: Boots) -> None:
    identity = boots.spawn_until_up(SAYS_READY)
    environment = psutil.Process(identity.pid).environ()
    assert environment["STABLENEW_NODE"] == f"1:{identity.generation}:{identity.nonce}"


def test_child_does_not_get_our_secrets(boots: Boots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLENEW_SECRET_KEY", "very secret")
    monkeypatch.setenv("DATABASE_URL", "postgres://user:password@host/name")
    environment = psutil.Process(boots.spawn_until_up(SAYS_READY).pid).environ()
    assert "STABLENEW_NODE" in environment
    assert not {"STABLENEW_SECRET_KEY", "DATABASE_URL"} & set(environment)


def test_child_does_not_get_our_virtual_environment(boots: Boots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/ours/.venv")
    monkeypatch.setenv("PATH", f"/ours/.venv/bin{os.pathsep}/usr/bin")
    environment = psutil.Process(boots.spawn_until_up(SAYS_READY).pid).environ()
    assert "VIRTUAL_ENV" not in environment
    assert environment["PATH"] == "/usr/bin"


def test_child_does_not_get_the_import_path_of_our_own_processes(
    boots: Boots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}/of/somebody")
    environment = psutil.Process(boots.spawn_until_up(SAYS_READY).pid).environ()
    assert environment["PYTHONPATH"] == "/of/somebody"


def test_output_of_each_boot_goes_to_files_of_its_own(boots: Boots) -> None:
    talks = "import sys; print('to stdout'); print('to stderr', file=sys.stderr)"
    identity = boots.spawn(talks)
    wait_until(lambda: not is_running(pid_of(identity)))
    directory = boots.log_directory(identity.generation)
    assert (directory / "stdout.log").read_text() == "to stdout\n"
    assert (directory / "stderr.log").read_text() == "to stderr\n"


def run_parent(folder: Path, *, prelude: str, end: str) -> int:
    """A program like ours, in a session of its own, that spawns a child and then meets its `end`."""
    program = f"""
        import os, signal, sys
        from pathlib import Path
        import django
        django.setup()
        {prelude}
        from webui.processes import process
        identity = process.Identity(1, 1, "parent-dies")
        started = process.spawn(
            [sys.executable, "-c", {SLEEP!r}], identity=identity, log_directory=Path({str(folder)!r})
        )
        print(started.pid, flush=True)
        {end}
    """
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "stablenew_site.settings"}
    environment["STABLENEW_DATA_DIR"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=False,
        timeout=120,
    )
    assert done.returncode < 0, "the parent was to die of a signal"
    return int(done.stdout)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_child_survives_a_signal_to_our_process_group(tmp_path: Path, name: str) -> None:
    prelude = f"signal.signal(signal.{name}, signal.SIG_DFL)"
    pid = run_parent(tmp_path, prelude=prelude, end=f"os.killpg(0, signal.{name}); signal.pause()")
    try:
        time.sleep(0.2)
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_child_does_not_inherit_the_parent_death_signal_of_our_forks(tmp_path: Path) -> None:
    prelude = (
        "import ctypes; libc = ctypes.CDLL(None); "
        "os.register_at_fork(after_in_child=lambda: libc.prctl(1, signal.SIGKILL))"
    )
    pid = run_parent(tmp_path, prelude=prelude, end="os.kill(os.getpid(), signal.SIGKILL)")
    try:
        time.sleep(0.2)
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_zombie_is_dead(boots: Boots) -> None:
    identity = boots.spawn("pass")
    wait_until(lambda: psutil.Process(identity.pid).status() == psutil.STATUS_ZOMBIE)
    assert process.main_process(identity) is None
    assert process.family(identity) == []


def test_reaping_tells_how_it_ended(boots: Boots) -> None:
    identity = boots.spawn("raise SystemExit(3)")
    wait_until(lambda: not is_running(pid_of(identity)))
    assert process.reap(pid_of(identity)) == 3
    assert not psutil.pid_exists(pid_of(identity))


def test_ending_reaps_so_that_nothing_is_left(boots: Boots) -> None:
    identity = boots.spawn_until_up(SAYS_READY)
    ended = process.end(identity, grace_s=60)
    assert ended == process.Ended(ended=(pid_of(identity),), status=-signal.SIGTERM)
    assert not psutil.pid_exists(pid_of(identity))


def test_process_that_ignores_term_is_killed_after_the_grace(boots: Boots) -> None:
    identity = boots.spawn_until_up(IGNORES_TERM)
    began = time.monotonic()
    ended = process.end(identity, grace_s=0.5)
    assert time.monotonic() - began >= 0.5
    assert ended.killed == (pid_of(identity),)


def test_process_that_heeds_term_is_not_waited_for(boots: Boots) -> None:
    identity = boots.spawn_until_up(SAYS_READY)
    # By a clock that stands still no grace ever passes: whoever waited for it would never return.
    assert process.end(identity, grace_s=1, clock=lambda: 0.0).killed == ()


def with_grandchild(popen_arguments: str) -> str:
    return (
        "import subprocess, sys, time; "
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], {popen_arguments}); "
        "print(child.pid, flush=True); time.sleep(60)"
    )


@pytest.mark.parametrize(
    "popen_arguments",
    [
        pytest.param("env={}", id="in the session, without the nonce"),
        pytest.param("start_new_session=True", id="with the nonce, in another session"),
    ],
)
@pytest.mark.parametrize("main_dies_first", [False, True])
def test_grandchildren_end_with_the_family(boots: Boots, popen_arguments: str, main_dies_first: bool) -> None:
    identity = boots.spawn_until_up(with_grandchild(popen_arguments))
    grandchild = int(boots.said(identity))
    if main_dies_first:
        os.kill(pid_of(identity), signal.SIGKILL)
        wait_until(lambda: not is_running(pid_of(identity)))
    ended = process.end(identity, grace_s=60)
    assert grandchild in ended.ended
    assert not is_running(grandchild)
    assert process.family(identity) == []


def test_process_is_found_again_by_its_nonce_alone(boots: Boots) -> None:
    identity = boots.spawn_until_up(SAYS_READY)
    before_the_pid_was_written = replace(identity, pid=None, start_ticks=None, boot_id="")
    found = process.find_main(before_the_pid_was_written)
    assert found is not None
    assert found.pid == identity.pid


def test_process_of_another_boot_of_the_same_node_is_not_ours(boots: Boots) -> None:
    first, second = boots.spawn(SLEEP), boots.spawn(SLEEP)
    process.end(second, grace_s=60)
    assert is_running(pid_of(first))


def ticks(pid: int) -> int:
    found = start_ticks(pid)
    assert found is not None
    return found


def test_stranger_with_a_reused_pid_is_neither_ours_nor_ended(stranger: subprocess.Popen[bytes]) -> None:
    stale = Identity(
        1, 1, process.new_nonce(), stranger.pid, ticks(stranger.pid) - 60, process.machine_boot_id()
    )
    assert process.main_process(stale) is None
    assert process.end(stale, grace_s=0) == process.Ended()
    assert stranger.poll() is None


def test_pid_of_an_earlier_boot_of_the_machine_is_not_ours(stranger: subprocess.Popen[bytes]) -> None:
    stale = Identity(1, 1, process.new_nonce(), stranger.pid, ticks(stranger.pid), "another boot")
    assert process.end(stale, grace_s=0) == process.Ended()
    assert stranger.poll() is None


def test_pid_start_ticks_and_boot_id_prove_ours_without_the_nonce(stranger: subprocess.Popen[bytes]) -> None:
    # As for a program that clears its environment.
    ours = Identity(1, 1, "", stranger.pid, ticks(stranger.pid), process.machine_boot_id())
    main = process.main_process(ours)
    assert main is not None
    assert main.pid == stranger.pid


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (None, "ended"),
        (0, "ended with exit code 0"),
        (1, "ended with exit code 1"),
        (-9, "was ended by SIGKILL"),
    ],
)
def test_exit_status_becomes_a_sentence(status: int | None, sentence: str) -> None:
    assert process.exit_sentence(status) == sentence


def test_output_is_appended_so_that_its_file_may_be_shortened(boots: Boots) -> None:
    identity = boots.spawn("import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.01)")
    log = boots.log_directory(1) / "stdout.log"
    wait_until(lambda: log.stat().st_size > 2_000)
    os.truncate(log, 0)
    wait_until(lambda: log.stat().st_size > 0)
    assert b"\0" not in log.read_bytes(), "no hole where the writer would have gone on"
    process.end(identity, grace_s=0)


def test_output_of_an_earlier_boot_of_that_number_is_gone(boots: Boots) -> None:
    boots.log_directory(1).mkdir(parents=True)
    (boots.log_directory(1) / "stdout.log").write_text("of another database\n")
    boots.spawn(SAYS_READY)
    log = boots.log_directory(1) / "stdout.log"
    wait_until(lambda: log.read_text() == "up\n")
