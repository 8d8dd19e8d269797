"""The real processes of one installation with its nodes, and how a service manager and a person handle them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.databases import Database
from tests.e2e.stack import listens
from tests.fault.campaign.lineups import Lineup
from tests.fault.campaign.short_times import OF_WORKERS, SETTINGS
from tests.free_ports import free_port
from tests.proxy import Proxy, proxy_before

POISON = "poisonword"
RESTART_PAUSE_S = 1.0
COMMAND_S = 120.0
START_S = 90.0
STOP_S = 45.0


class ConsoleError(Exception):
    """The installation refused an act, or could not take it just now."""


class Installation:
    """Everything of one campaign's installation: its folder, database, `up`, console and simulators by hand.

    `source` is the tree that its processes run: a copy, so that nobody's editing disturbs a long campaign.
    """

    def __init__(
        self, folder: Path, database: Database, source: Path, lineup: Lineup, prefix: Sequence[str] = ()
    ) -> None:
        """`prefix` stands before the command that starts `up`."""
        self.folder = folder
        self.lineup = lineup
        # What the campaign reads afterwards is not on the disk that it fills.
        self.aside = folder.with_name("aside")
        self.aside.mkdir()
        self._temporary = self.aside / "tmp"
        self._temporary.mkdir()
        self._prefix = list(prefix)
        self.proxy: Proxy | None = None
        self._proxying: ExitStack = ExitStack()
        self.database = database
        self.source = source
        self.web_port = free_port()
        self.ports = {name: free_port() for name in lineup.every_node}
        self._proxy_port = free_port()
        self.up: subprocess.Popen[bytes] | None = None
        self.ups = 0
        self.foreign: dict[str, subprocess.Popen[bytes]] = {}
        self.foreign_pids: set[int] = set()
        self._console: subprocess.Popen[str] | None = None
        self._acting = threading.Lock()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("STABLENEW_", "Q_CLUSTER"))}
        self.env = {
            **inherited,
            **SETTINGS,
            "STABLENEW_DATA_DIR": str(folder),
            "DATABASE_URL": database.url,
            "DJANGO_SETTINGS_MODULE": "stablenew_site.settings",
            "PYTHONPATH": str(source),
            "TMPDIR": str(self._temporary),
        }
        if lineup.makes_pictures:
            # The first node is the one of the settings.
            first = lineup.nodes[0]
            self.env["STABLENEW_WEBUI_URL"] = f"http://127.0.0.1:{self.ports[first]}"
            self.env["STABLENEW_WEBUI_COMMAND"] = self.webui_command(first)
        else:
            self.env |= OF_WORKERS

    # --- places ---------------------------------------------------------------------------------------

    def webui_command(self, node: str) -> str:
        """Starts the simulator that serves this node; each has a journal and a fault file of its own."""
        words = [
            *self.lineup.member(node).simulator_words(self.ports[node]),
            "--journal",
            str(self.journal(node)),
        ]
        words += ["--fault-file", str(self.fault_file(node)), "--fault", f"die~{POISON}"]
        return shlex.join(words)

    def journal(self, node: str) -> Path:
        return self.aside / f"journal-{node}.jsonl"

    def fault_file(self, node: str) -> Path:
        return self.aside / f"faults-{node}.txt"

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    # --- start and stop -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Tables, and the nodes; the first one of pictures is made by `up`."""
        self.manage("migrate", "-v", "0")
        for member in self.lineup.members[self.lineup.makes_pictures :]:
            command, port = self.webui_command(member.name), self.ports[member.name]
            if member.remote:
                self.start_foreign(member.name)
                self.join_remote()
                command, port = "", self._proxy_port
            url = f"http://127.0.0.1:{port}"
            self.act("add", name=member.name, url=url, command=command, kind=member.kind, card=member.card)

    def manage(self, *words: str, timeout_s: float = COMMAND_S) -> str:
        """What a command of ours wrote; raises `ConsoleError` with that where it failed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.source,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise ConsoleError(f"{words[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def join_remote(self) -> None:
        """The way to the server of others is open (again)."""
        behind = f"http://127.0.0.1:{self.ports[self.lineup.remote]}"
        self.proxy = self._proxying.enter_context(proxy_before(behind, port=self._proxy_port))

    def cut_remote(self) -> None:
        """Nothing listens at its address any more, and what was under way is cut off."""
        self._proxying.close()

    def start_up(self) -> None:
        words = [*self._prefix, sys.executable, "manage.py", "up", "--port", str(self.web_port)]
        self.up = self._spawn("up", words, self.env)
        self.ups += 1

    def up_runs(self) -> bool:
        return self.up is not None and self.up.poll() is None

    def start_foreign(self, node: str) -> int:
        """A WebUI that somebody starts by hand on the node's port; its pid."""
        process = self._spawn(f"by-hand-{node}", shlex.split(self.webui_command(node)), self.env)
        self.foreign[node] = process
        self.foreign_pids.add(process.pid)
        return process.pid

    def remote_has_died(self) -> bool:
        process = self.foreign.get(self.lineup.remote)
        return process is not None and process.poll() is not None

    def end_foreign(self, node: str) -> None:
        process = self.foreign.pop(node, None)
        if process is not None:
            process.kill()
            process.wait()

    def _spawn(self, key: str, words: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with open(self.aside / f"{key}.log", "ab") as log:
            return subprocess.Popen(
                words,
                cwd=self.source,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> list[str]:
        """Ends what the campaign itself started, `up` by TERM; what still runs then is ended and returned."""
        noticed = []
        if self._console is not None and self._console.stdin is not None:
            self._console.stdin.close()
            self._console.wait(20)
        if self.up is not None and self.up_runs():
            self.up.terminate()
            try:
                self.up.wait(STOP_S)
            except subprocess.TimeoutExpired:
                noticed.append(f"`up` (process {self.up.pid}) had not stopped {STOP_S:g} s after TERM.")
        self.cut_remote()
        for node in list(self.foreign):
            self.end_foreign(node)
        return noticed + self.sweep()

    def sweep(self) -> list[str]:
        """End every process of this installation that still lives; what they were."""
        left = []
        for process in self.living():
            try:
                left.append(f"process {process.pid}: {shlex.join(process.cmdline())}")
                process.kill()
                process.wait(5)
            except psutil.Error:
                continue
        return left

    def living(self) -> list[psutil.Process]:
        """Every process whose environment names this installation's folder; zombies and we ourselves are none."""
        found = []
        mark = str(self.folder)
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("STABLENEW_DATA_DIR") == mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    # --- acts and looks -------------------------------------------------------------------------------

    def act(self, verb: str, /, **given: Any) -> Any:
        """One act of a person; raises `ConsoleError` with the reason when it was refused."""
        with self._acting:
            console = self._open_console()
            assert console.stdin is not None
            assert console.stdout is not None
            console.stdin.write(json.dumps({"act": verb, **given}) + "\n")
            console.stdin.flush()
            line = console.stdout.readline()
        if not line:
            raise ConsoleError(f"the console ended; its log is {self.aside / 'console.log'}")
        answer = json.loads(line)
        if "problem" in answer:
            raise ConsoleError(answer["problem"])
        return answer["result"]

    def _open_console(self) -> subprocess.Popen[str]:
        if self._console is None or self._console.poll() is not None:
            with open(self.aside / "console.log", "ab") as log:
                self._console = subprocess.Popen(
                    [sys.executable, str(Path(__file__).with_name("console.py"))],
                    cwd=self.source,
                    env=self.env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
        return self._console

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Asked again while the database is restarting."""
        deadline_s = time.monotonic() + COMMAND_S
        while True:
            try:
                return self.database.rows(query)
            except Exception:
                # Each database has errors of its own; whatever lasts is raised.
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.2)

    def node_states(self) -> dict[str, str]:
        """Of the lineup's nodes alone; `up` may have made one more."""
        known = dict(self.rows("SELECT name, state FROM webui_node"))
        return {name: known[name] for name in self.lineup.every_node if name in known}

    def temporary_files(self) -> list[str]:
        """What our processes left in the folder for temporary files."""
        return sorted(str(path.relative_to(self._temporary)) for path in self._temporary.rglob("*"))

    def web_answers(self) -> bool:
        return listens(self.web_port)

    def wait_until(self, holds: Callable[[], Any], timeout_s: float, every_s: float = 0.1) -> Any:
        """What `holds` gave, or its last false value when the time is up."""
        deadline_s = time.monotonic() + timeout_s
        while not (found := holds()) and time.monotonic() < deadline_s:
            time.sleep(every_s)
        return found

    def tail(self, lines: int = 40) -> str:
        """The last lines of every log: what a person reads first when something stands still."""
        logs = [*self.aside.glob("*.log"), *(self.folder / "logs").glob("*.log")]
        parts = []
        for path in sorted(logs):
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            parts.append(f"--- {path.name}\n" + "\n".join(text))
        return "\n".join(parts)
