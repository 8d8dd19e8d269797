"""The service manager of one machine: keeps the children of `up` running, and stops all of them in order.

It starts, restarts and stops processes; what they do is theirs. The WebUI is no child of ours: the
keeper inside `run_node` starts and stops it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from webui.private_files import make_private_folder, private

#: Pauses before a restart, in seconds; the last one repeats.
BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
#: A child that lived this long starts again without a history.
STEADY_S = 60.0
#: From the first signal until the last process must be gone.
STOP_DEADLINE_S = 30.0
#: Of those, what is kept for the web server and for the last resort.
RESERVE_S = 4.0
LOG_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A command to keep running. `stops_first` children get TERM at once, the others when those are gone."""

    name: str
    argv: Sequence[str]
    log: Path
    stops_first: bool = False


@dataclass(slots=True)
class Child:
    """One child over all its starts."""

    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0
    failures: int = 0
    due_at_s: float = 0.0
    retired: bool = False
    """It is not started again."""

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, env: Mapping[str, str], now_s: float, say: Callable[[str], None]) -> None:
        """Raises OSError. Without its log it starts all the same: a process that works counts more."""
        with ExitStack() as stack:
            output: IO[bytes] | int
            try:
                output = stack.enter_context(_open_log(self.spec.log))
            except OSError as exc:
                output = subprocess.DEVNULL
                say(f"{self.spec.name} starts without its log, which cannot be written ({exc}).")
            self.process = subprocess.Popen(
                self.spec.argv,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: the terminal's Ctrl-C reaches `up` alone, which stops all in order.
                start_new_session=True,
            )
        self.started_at_s = now_s

    def put_off(self, now_s: float) -> float:
        """It starts again after a pause that grows; its seconds."""
        pause_s = BACKOFF_S[min(self.failures, len(BACKOFF_S) - 1)]
        self.failures += 1
        self.due_at_s = now_s + pause_s
        return pause_s

    def signal(self, number: signal.Signals) -> None:
        """To the process alone; its own children are its business."""
        if self.alive and self.process is not None:
            self.process.send_signal(number)

    def kill_session(self) -> None:
        """The last resort: the child and everything that it forked into its session."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(slots=True)
class Supervisor:
    """Runs until a signal, then stops everything within `STOP_DEADLINE_S`.

    `say` gets one plain line per thing that happens; `look` is called about once a second while all is well.
    """

    env: Mapping[str, str]
    say: Callable[[str], None]
    look: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    children: list[Child] = field(default_factory=list)
    signals: int = 0

    def add(self, spec: ChildSpec) -> None:
        """One more child to keep running, from now on."""
        self.children.append(Child(spec))

    def retire(self, spec: ChildSpec) -> None:
        """Asks this child to end; it is not started again."""
        for child in self.children:
            if child.spec is spec and not child.retired:
                child.retired = True
                child.signal(signal.SIGTERM)

    def run(self) -> bool:
        """False when something had to be killed at the end."""
        previous = {number: signal.signal(number, self._on_signal) for number in _stop_signals()}
        try:
            self._keep_running()
            return self._stop()
        finally:
            for child in self.children:
                child.kill_session()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1

    def _keep_running(self) -> None:
        looked_at_s = self.clock()
        while not self.signals:
            for child in self.children:
                self._tend(child)
            self.children = [child for child in self.children if child.alive or not child.retired]
            if self.clock() - looked_at_s >= 1.0:
                looked_at_s = self.clock()
                self.look()
            self.sleep(0.2)

    def _tend(self, child: Child) -> None:
        now_s = self.clock()
        if child.alive or child.retired:
            return
        if child.process is not None and not child.due_at_s:
            self.look()
            if child.retired:
                # It saw before us that nothing is left for it to do.
                return
            if now_s - child.started_at_s >= STEADY_S:
                child.failures = 0
            pause_s = child.put_off(now_s)
            self.say(
                f"{child.spec.name} ended ({exit_sentence(child.process.returncode)}); "
                f"it starts again in {pause_s:g} s. Its log: {child.spec.log}"
            )
        if now_s >= child.due_at_s:
            child.due_at_s = 0.0
            try:
                child.start(self.env, now_s, self.say)
            except OSError as exc:
                # Of this child or of the machine: the other children go on.
                self.say(f"{child.spec.name} cannot be started ({exc}); again in {child.put_off(now_s):g} s.")

    def _stop(self) -> bool:
        deadline_s = self.clock() + STOP_DEADLINE_S
        first = [child for child in self.children if child.spec.stops_first]
        rest = [child for child in self.children if not child.spec.stops_first]
        self.say("Stopping: no new job starts, a running one gets 10 s. Ctrl-C again interrupts it at once.")
        clean = self._stop_these(first, deadline_s - RESERVE_S)
        clean = self._stop_these(rest, deadline_s - RESERVE_S / 2) and clean
        self.say("Everything is stopped.")
        return clean

    def _stop_these(self, children: Sequence[Child], deadline_s: float) -> bool:
        """TERM, a second TERM for a second signal of the user, KILL at the deadline."""
        passed_on = 1
        for child in children:
            child.signal(signal.SIGTERM)
        while any(child.alive for child in children) and self.clock() < deadline_s:
            if self.signals > passed_on:
                passed_on = self.signals
                for child in children:
                    child.signal(signal.SIGTERM)
            self.sleep(0.1)
        late = [child for child in children if child.alive]
        for child in late:
            self.say(f"{child.spec.name} did not stop in time and is killed.")
        for child in children:
            child.kill_session()
        return not late


def exit_sentence(code: int) -> str:
    """An exit status as people say it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _stop_signals() -> list[signal.Signals]:
    # A closed terminal (HUP, where the platform has it) means stop as well.
    return [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _open_log(log: Path) -> IO[bytes]:
    """One earlier log is kept, so that a child that dies for weeks does not fill the disk. Raises OSError."""
    make_private_folder(log.parent)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return open(log, "ab", opener=private)
