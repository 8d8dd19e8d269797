"""The simulator's own account of its life: one JSON line per event, appended and never rewritten.

Every line has `time` (ISO 8601, UTC), `pid`, `boot` (the number of that start, from 1) and `event`:

    start    port, age_s                          a process began, so many seconds ago (null: unknown)
    ready    port                                 the port is open and the API answers; the true port
    end      how, code                            it ended by itself, or by TERM or INT; killed ones say nothing
    post     n, method, path, body_sha256,        a generation request arrived; `n` counts from 1,
             prompt_sha256, task_id               `task_id` is its `force_task_id` or null
    fault    kind, rule, once, n                  a fault acted; `rule` as written, `n` null for a start
    answer   n, path, status, outcome,            how that request ended: answered, interrupted, skipped,
             fault, images                        died, hung, cut (by a fault) or dropped (the client had gone)
    request  method, path, body_sha256,           any other request
             status, outcome

A worker of films or edits (`--kind`) writes the same, and its `start` has its `kind`. Its `post` is a job that it
takes, with the job's id as `task_id`; asking for a known one again is a `request`, and so is what it turns away without
a fault. Its `answer` is written when the job ends, by whatever means: answered, failed, cancelled, died or hung; or
`refused` at once by a fault, and then nothing was executed. Between the two it tells how the job goes on:

    begin    n, task_id                           it is being worked at: the card is in use until its `answer`, or until
                                                  the process is gone where that has no answer or a hung one
    phase    n, task_id, phase                    prepare, encode, denoise, decode, save, as each begins
    cancel   n, task_id                           somebody asked for its end

`answer` and `request` are written just before the answer goes out; `status` is null where none does. A `post`
without `answer` waits, or belongs to a process that was killed from outside. Starts, requests and struck rules
are counted over all processes that write to the same file, also at the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # without flock one simulator at a time may write to a journal
    fcntl = None  # type: ignore[assignment]


COUNTED = (b'"event": "start"', b'"event": "post"', b'"event": "fault"')
"""Other lines are not even parsed: a long journal must not delay a start."""


class Journal:
    """Without a path it writes nothing and counts what this process sees."""

    def __init__(self, path: Path | None) -> None:
        """Raises OSError where the file cannot be opened for appending."""
        self.boot = 0
        # Re-entrant: a signal may want to write while the main thread does.
        self._guard = threading.RLock()
        self._events: Counter[str] = Counter()
        self._struck: Counter[str] = Counter()
        self._read_bytes = 0
        self._is_torn = False
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)

    # --- the process ----------------------------------------------------------------------------------

    def start(self, port: int, kind: str | None = None) -> int:
        """Note that this process began; returns the number of its start. `kind`: that of a worker."""
        told = {} if kind is None else {"kind": kind}
        with self._alone():
            self.boot = self._events["start"] + 1
            self._write("start", port=port, age_s=_age_s(), **told)
        return self.boot

    def ready(self, port: int) -> None:
        with self._alone():
            self._write("ready", port=port)

    def end(self, how: str, code: int) -> None:
        """How: SIGTERM, SIGINT, died, no-boot, port-taken, early-request, server-stop, server-kill, server-restart;
        of workers also oom and parent-gone.
        """
        with self._alone():
            self._write("end", how=how, code=code)

    # --- requests -------------------------------------------------------------------------------------

    def post(self, path: str, body: bytes, prompt: str | None, task_id: str | None) -> int:
        """Note the arrival of a generation request; returns its number, 1 for the first of the journal."""
        with self._alone():
            number = self._events["post"] + 1
            self._write(
                "post",
                n=number,
                method="POST",
                path=path,
                body_sha256=sha256(body),
                prompt_sha256=None if prompt is None else sha256(prompt.encode("utf-8", "surrogatepass")),
                task_id=task_id,
            )
        return number

    def answer(
        self,
        number: int,
        path: str,
        status: int | None,
        outcome: str,
        *,
        fault: str | None = None,
        images: int = 0,
    ) -> None:
        """`fault`: the kind of the last one that acted on it; `images`: how many pictures the answer holds."""
        with self._alone():
            self._write(
                "answer", n=number, path=path, status=status, outcome=outcome, fault=fault, images=images
            )

    def step(self, event: str, number: int, task_id: str, **facts: Any) -> None:
        """Note how a worker's job goes on: begin, phase or cancel."""
        with self._alone():
            self._write(event, n=number, task_id=task_id, **facts)

    def request(self, method: str, path: str, body: bytes, status: int | None) -> None:
        outcome = "dropped" if status is None else "answered"
        facts = {"method": method, "path": path, "body_sha256": sha256(body)}
        with self._alone():
            self._write("request", **facts, status=status, outcome=outcome)

    # --- faults ---------------------------------------------------------------------------------------

    def times_struck(self, rule: str) -> int:
        """How often a rule of this very text has acted."""
        with self._alone():
            return self._struck[rule]

    def strike(self, kind: str, rule: str, number: int | None, *, at_most: int | None = None) -> bool:
        """Note that a fault acts now. False, and nothing noted, where its rule has acted `at_most` times."""
        with self._alone():
            if at_most is not None and self._struck[rule] >= at_most:
                return False
            self._write("fault", kind=kind, rule=rule, once=at_most is not None, n=number)
            return True

    # --- the file -------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes meanwhile, and all that is written has been counted."""
        with self._guard:
            if self._file is None:
                yield
                return
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._catch_up(self._file)
                yield
            finally:
                if fcntl is not None:
                    fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self, file: int) -> None:
        """Count the lines that others have written. A torn last line counts for nothing."""
        size = os.fstat(file).st_size
        if size <= self._read_bytes:
            return
        data = os.pread(file, size - self._read_bytes, self._read_bytes)
        whole, newline, _ = data.rpartition(b"\n")
        for line in whole.split(b"\n"):
            self._count(line)
        self._is_torn = len(whole) + len(newline) < len(data)
        self._read_bytes = size

    def _count(self, line: bytes) -> None:
        if not any(mark in line for mark in COUNTED):
            return
        try:
            told = json.loads(line)
        except ValueError:
            return
        if not isinstance(told, dict):
            return
        self._events[str(told.get("event"))] += 1
        if told.get("event") == "fault":
            self._struck[str(told.get("rule"))] += 1

    def _write(self, event: str, **facts: Any) -> None:
        """Within `_alone`."""
        now = datetime.now(UTC).isoformat()
        told = {"time": now, "pid": os.getpid(), "boot": self.boot, "event": event, **facts}
        line = json.dumps(told).encode()
        self._count(line)
        if self._file is None:
            return
        data = b"\n" * self._is_torn + line + b"\n"
        self._is_torn = False
        self._read_bytes += os.write(self._file, data)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _age_s() -> float | None:
    """Seconds since the system made this process: most of a start is over before its first line is written.

    From the kernel's own count; what psutil derives from the date of the boot is off where that date drifts.
    """
    try:
        began = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(began) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return None
