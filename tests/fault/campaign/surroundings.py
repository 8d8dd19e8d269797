"""What stands around an installation under fire: a small disk, a clock that can be set, a database server, a proxy.

What the kernel does not allow here is not done; `refused` keeps its words, and the kinds that need it are not drawn.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.campaign.plan import KINDS, Kind, Needs
from tests.free_ports import free_port

DISK_MIB = 768
#: As processes of the installation see the kernel's boot time, from within their own mount namespace.
MOUNTED = 'mount --bind "$0" /proc/stat && exec "$@"'
#: To be given as `--database`: a server of PostgreSQL that the campaign makes and may restart.
OWN = "own"
START_S = 60


class ServerError(Exception):
    """PostgreSQL could not be started here; the words are its own."""


@dataclass
class Surroundings:
    """`disk` and `clock` are None where they could not be had; `server` is an address, or empty for SQLite.

    `possible` is what could strike if all was to be had.
    """

    server: str = ""
    possible: Sequence[Kind] = KINDS
    own_server: OwnServer | None = None
    disk: Path | None = None
    clock: Clock | None = None
    refused: dict[Needs, str] = field(default_factory=dict)

    def kinds(self) -> tuple[Kind, ...]:
        """Those that can strike here."""
        return tuple(kind for kind in self.possible if kind.needs not in self.refused)

    def skipped(self) -> dict[str, str]:
        """By kind: why it cannot strike here."""
        return {kind.name: self.refused[kind.needs] for kind in self.possible if kind.needs in self.refused}


@contextmanager
def surroundings(folder: Path, server: str, possible: Sequence[Kind] = KINDS) -> Iterator[Surroundings]:
    """Everything that can be had for a campaign in this folder, taken away again afterwards."""
    with ExitStack() as stack:
        around = Surroundings(server, possible)
        if server == OWN:
            around.own_server = stack.enter_context(own_server())
            around.server = around.own_server.url
        else:
            around.refused[Needs.OWN_SERVER] = "the campaign may not restart a server of others"
        if not around.server:
            around.refused[Needs.POSTGRESQL] = "an embedded database has no server"
        data = folder / "data"
        data.mkdir()
        if words := _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(data)):
            around.refused[Needs.DISK] = words
        else:
            stack.callback(_run, "umount", "-l", str(data))
            around.disk = data
        clock = Clock(folder / "proc-stat")
        if words := clock.refused():
            around.refused[Needs.NAMESPACE] = words
        else:
            around.clock = clock
        yield around


class Clock:
    """The kernel's boot time, as the installation is told it: it moves whenever the wall clock is set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        shutil.copyfile("/proc/stat", path)

    def prefix(self) -> list[str]:
        """Before a command: it and all its children see our boot time."""
        return ["unshare", "--mount", "sh", "-c", MOUNTED, str(self._path)]

    def refused(self) -> str:
        return _run(*self.prefix(), "true")

    def step(self, seconds: int) -> None:
        """Written in place: a file that takes another's place would not be the mounted one."""
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        before = self._boot_time(self._path.read_text(encoding="ascii").splitlines())
        moved = [f"btime {before + seconds}" if line.startswith("btime ") else line for line in lines]
        with self._path.open("r+", encoding="ascii") as file:
            file.write("\n".join(moved) + "\n")
            file.truncate()

    @staticmethod
    def _boot_time(lines: list[str]) -> int:
        return next(int(line.split()[1]) for line in lines if line.startswith("btime "))


class OwnServer:
    """A server of PostgreSQL in a folder of its own; never run as root, so by the user `postgres` where we are that."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._folder = folder
        self._port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        self._call("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres")
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"port = {self._port}\nlisten_addresses = '127.0.0.1'\n")
            file.write(f"unix_socket_directories = '{self._folder}'\nmax_connections = 200\n")
        self._control("start")

    def restart(self, how: str) -> None:
        """`fast` ends the connections first, `immediate` is a crash."""
        self._control("restart", "-m", how)

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def _control(self, *words: str) -> None:
        log = str(self._folder / "server.log")
        self._call("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-t", str(START_S), *words)

    def _call(self, program: str, *words: str) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if said := _run(*as_user, str(self._programs / program), *words, cwd=self._folder):
            raise ServerError(f"{program}: {said}")


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """A fresh server with the newest programs of this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise ServerError("There is no initdb on this machine; install PostgreSQL's server.")
    programs = (found[-1] if found else Path(str(on_path))).parent
    folder = Path(tempfile.mkdtemp(prefix="campaign-postgresql-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    try:
        server = OwnServer(programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*words: str, cwd: Path | None = None) -> str:
    """Runs a program; what it said where it failed."""
    if sys.platform != "linux":
        return "this needs Linux"
    try:
        # pg_ctl leaves a server behind that would hold a pipe open.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(words, cwd=cwd, stdout=said, stderr=said, check=False)
            said.seek(0)
            text = said.read().decode(errors="replace").strip()
    except OSError as exc:
        return str(exc)
    return (text or f"{words[0]} ended with {done.returncode}") if done.returncode else ""
