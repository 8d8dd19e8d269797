"""One WebUI process and its family: start it, recognise it later, end it. When to do so is the keeper's.

A process is ours when its environment carries the nonce that was written to the row before the start, or
when pid, start ticks and the machine's boot id are those of the row. Name, port and age prove nothing.
"""

from __future__ import annotations

import math
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.conf import settings

from webui.circumstances import SHORTAGE
from webui.models import Node
from webui.private_files import make_private_folder, private
from webui.processes.start_ticks import start_ticks

NODE_VARIABLE = "STABLENEW_NODE"
"""`<node id>:<generation>:<nonce>` in the environment of everything that we start for a node."""

WITHHELD_VARIABLES = (
    "STABLENEW_SECRET_KEY",
    "DATABASE_URL",
    "STABLENEW_WEBUI_AUTH",
    "STABLENEW_WEBUI_COMMAND",
    "STABLENEW_WEBUI_RESTART_COMMAND",
    "STABLENEW_WORKER_TOKEN",
)
"""Of our own environment; a WebUI and its extensions have no business with them."""

PYTHON_VARIABLES = ("VIRTUAL_ENV", "PYTHONHOME", "DJANGO_SETTINGS_MODULE")
"""Of our own interpreter: with VIRTUAL_ENV set, webui.sh would install itself into ours."""

KILLED_WAIT_S = 5.0
"""How long a killed process may take to vanish before we say that it does not."""
REAP_WAIT_S = 0.5
"""A killed process with many threads is a zombie for a moment before its parent may take its status."""
POLL_S = 0.05

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Identity:
    """Which processes belong to one boot of one node. `pid` is unknown between the row and the spawn."""

    node_id: int
    generation: int
    nonce: str
    pid: int | None = None
    start_ticks: int | None = None
    boot_id: str = ""

    @property
    def marker(self) -> str:
        return f"{self.node_id}:{self.generation}:{self.nonce}"


@dataclass(frozen=True)
class Started:
    pid: int
    start_ticks: int | None
    boot_id: str


@dataclass(frozen=True)
class Ended:
    """`killed` needed SIGKILL; `remaining` survived even that; `status` is the main process's, if it was ours."""

    ended: tuple[int, ...] = ()
    killed: tuple[int, ...] = ()
    remaining: tuple[int, ...] = ()
    status: int | None = None


def identity_of(node: Node) -> Identity:
    """The boot that the row describes."""
    return Identity(
        node_id=node.pk,
        generation=node.generation,
        nonce=node.nonce,
        pid=node.pid,
        start_ticks=node.process_start_ticks,
        boot_id=node.boot_id,
    )


def is_process_alive(node: Node) -> bool:
    """The main process of the row's boot runs; a zombie and a stranger with its pid do not count."""
    return main_process(identity_of(node)) is not None


def new_nonce() -> str:
    return secrets.token_hex(16)


def machine_boot_id() -> str:
    """Changes with every boot of the machine, after which pids mean nothing; empty where there is none to read.

    Raises OSError where it cannot be read just now.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, PermissionError):
        return ""


def spawn(
    command: list[str],
    *,
    identity: Identity,
    log_directory: Path,
    working_directory: str = "",
    environment: Mapping[str, str] | None = None,
) -> Started:
    """Starts the command in a session of its own, so that no Ctrl-C and no death of ours reaches it.

    `environment` comes on top of what programs of others get. Raises OSError when the command cannot be started or
    the log files cannot be written.
    """
    make_private_folder(log_directory)
    logs = (log_directory / "stdout.log", log_directory / "stderr.log")
    for path in logs:
        path.unlink(missing_ok=True)  # of an earlier database that counted the same boots
    whole = {**environment_of_others(), **(environment or {}), NODE_VARIABLE: identity.marker}
    child = popen(command, *logs, environment=whole, working_directory=working_directory)
    _children[child.pid] = child
    try:
        return Started(child.pid, start_ticks(child.pid), machine_boot_id())
    except (OSError, psutil.Error):
        # It runs all the same, and is found by its nonce later.
        return Started(child.pid, None, "")


def popen(
    command: list[str],
    stdout_log: Path,
    stderr_log: Path,
    *,
    environment: dict[str, str],
    working_directory: str,
) -> subprocess.Popen[bytes]:
    """A program in a session of its own that appends to these files, which may therefore be shortened meanwhile.

    There is no preexec_fn: with one, the child would inherit the parent-death signal of our forks.
    """
    with open(stdout_log, "ab", opener=private) as stdout, open(stderr_log, "ab", opener=private) as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=working_directory or None,
            env=environment,
            close_fds=True,
            start_new_session=True,
        )


def environment_of_others() -> dict[str, str]:
    """Our environment as programs that are not of this site get it: without our secrets and our interpreter."""
    without = {*WITHHELD_VARIABLES, *PYTHON_VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in without}
    our_own = os.environ.get("VIRTUAL_ENV")
    if our_own:
        folders = environment.get("PATH", "").split(os.pathsep)
        environment["PATH"] = os.pathsep.join(f for f in folders if Path(f).parent != Path(our_own))
    if "PYTHONPATH" in environment:
        # What `up` gave its own processes; the rest is somebody's wish.
        folders = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(f for f in folders if f != str(settings.BASE_DIR))
    environment.setdefault("PYTHONUNBUFFERED", "1")  # the last words of a dying Python must reach its log
    return environment


def main_process(identity: Identity) -> psutil.Process | None:
    """The living main process of this boot: by pid, start ticks and boot id."""
    process = _recorded(identity)
    return process if process is not None and not _is_zombie(process) else None


def find_main(identity: Identity) -> psutil.Process | None:
    """The main process of this boot by its nonce: the leader of the session that we gave it."""
    carriers = _carriers(identity)
    for process in carriers:
        if _session_of(process.pid) == process.pid:
            return process
    return min(carriers, key=lambda process: start_ticks(process.pid) or math.inf, default=None)


def family(identity: Identity) -> list[psutil.Process]:
    """Every living process with the nonce in its environment or in the session of this boot.

    The session counts only while its leader is proved ours (also as a zombie that we have not reaped) or a
    carrier of the nonce is in it: a pid alone may long belong to a stranger.
    """
    carriers = _carriers(identity)
    sessions = {_session_of(process.pid) for process in carriers} & {identity.pid}
    leader = _recorded(identity)
    if leader is not None and _session_of(leader.pid) == leader.pid:
        sessions.add(leader.pid)
    found = {process.pid: process for process in carriers}
    if leader is not None and not _is_zombie(leader):
        found[leader.pid] = leader
    if sessions:
        for process in psutil.process_iter():
            if process.pid not in found and _session_of(process.pid) in sessions and not _is_zombie(process):
                found[process.pid] = process
    found.pop(os.getpid(), None)
    return list(found.values())


def end(
    identity: Identity,
    *,
    grace_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Ended:
    """Ends the whole family: TERM, up to `grace_s`, KILL; then reaps. SIGINT would be ignored or exit 0."""
    asked: set[int] = set()
    killed: set[int] = set()
    deadline = clock() + grace_s
    while living := family(identity):
        now = clock()
        if now >= deadline + KILLED_WAIT_S:
            break
        for process in living:
            if now >= deadline and process.pid not in killed:
                _send(process, signal.SIGKILL)
                killed.add(process.pid)
            elif process.pid not in asked:
                _send(process, signal.SIGTERM)
            asked.add(process.pid)
        sleep(POLL_S)
    remaining = tuple(process.pid for process in family(identity))
    # Reaped last: as long as its main process is a zombie, the session is surely this one.
    status = None
    if identity.pid is not None and identity.pid not in remaining:
        reap_until = clock() + REAP_WAIT_S
        while (status := reap(identity.pid)) is None and clock() < reap_until and _recorded(identity):
            sleep(POLL_S)
    return Ended(tuple(sorted(asked - set(remaining))), tuple(sorted(killed)), remaining, status)


def reap(pid: int) -> int | None:
    """Takes a dead child's exit status (negative = signal number); None if it lives or is not our child."""
    child = _children.get(pid)
    if child is not None:
        status = child.poll()
        if status is not None:
            del _children[pid]
        return status
    try:
        # A child from before this program re-executed itself is still our child, without a Popen.
        reaped, raw = os.waitpid(pid, os.WNOHANG)
    except (ChildProcessError, OSError):
        return None
    return os.waitstatus_to_exitcode(raw) if reaped else None


def exit_sentence(status: int | None) -> str:
    """How a process ended, for a person."""
    if status is None:
        return "ended"
    if status < 0:
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    return f"ended with exit code {status}"


def _recorded(identity: Identity) -> psutil.Process | None:
    """The process with the recorded pid, dead or alive, if it is still that process.

    Raises OSError or `psutil.Error` where it cannot be looked at just now.
    """
    if identity.pid is None or identity.start_ticks is None or identity.boot_id != machine_boot_id():
        return None
    try:
        process = psutil.Process(identity.pid)
    except psutil.NoSuchProcess:
        return None
    return process if start_ticks(identity.pid) == identity.start_ticks else None


def _carriers(identity: Identity) -> list[psutil.Process]:
    """Living processes whose environment has this boot's marker. Raises OSError where they cannot be looked at."""
    if not identity.nonce:
        return []
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(NODE_VARIABLE) == identity.marker
        except psutil.Error:
            continue
        except OSError as exc:
            if exc.errno in SHORTAGE:
                raise
            continue
        if marked and not _is_zombie(process):
            found.append(process)
    return found


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (OSError, AttributeError):
        return None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # psutil compares the start ticks first: a reused pid is not hit
    except (psutil.Error, OSError):
        return
