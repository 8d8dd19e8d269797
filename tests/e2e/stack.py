"""The real processes of one installation on free ports and in a folder of its own, for one test.

    def test_something(stack):
        stack.add_simulator(seconds_per_step=0.01)
        stack.start_node()
        stack.wait_ready()
        stack.import_text("castles", "a castle at dusk")
        done = stack.manage("submit_pack", "castles", "--wait")
        assert [line["n"] for line in stack.posts()] == [1]

Commands run as processes too, and what the test itself does in a console of the stack (`python`, and looks like
`job`); nothing of the test's own Django reaches the stack's database.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.console import Console
from tests.e2e.databases import Database
from tests.free_ports import free_port
from tests.promises import PATIENCE_S

ROOT = Path(__file__).parents[2]
NODE = "simulator"
#: Times of the real system, shortened by its own settings.
SHORT = {
    "STABLENEW_SETTLE_S": "0.05",
    "STABLENEW_READY_TIMEOUT_S": "90",
    "STABLENEW_STOP_GRACE_S": "3",
    # Each is a node more, which most tests have no work for.
    "STABLENEW_SIMULATE_WORKERS": "off",
    "STABLENEW_LOG_LEVEL": "INFO",
}
#: Commands take their time on a busy machine.
COMMAND_S = 120.0
START_S = PATIENCE_S
STOP_S = 90.0


class Stack:
    """One installation. `env` is what its processes see and may be changed before they start.

    Its processes run this checkout, or another one with that one's own interpreter.
    """

    def __init__(
        self, folder: Path, database: Database, settings: Mapping[str, str], *, checkout: Path = ROOT
    ) -> None:
        self.folder = folder
        self.database = database
        self.checkout = checkout
        self.interpreter = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
        self._manage = [self.interpreter, str(checkout / "manage.py")]
        self.journal_path = folder / "journal.jsonl"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("STABLENEW_", "Q_CLUSTER"))}
        self.env = {
            **inherited,
            **SHORT,
            "DJANGO_SETTINGS_MODULE": "stablenew_site.settings",
            "STABLENEW_DATA_DIR": str(folder),
            "DATABASE_URL": database.url,
            "STABLENEW_SIMULATOR_OPTIONS": f"--journal {shlex.quote(str(self.journal_path))}",
            **settings,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._console: Console | None = None
        self.web_port = free_port()
        self.web_url = f"http://127.0.0.1:{self.web_port}"

    # --- commands -----------------------------------------------------------------------------------

    def run(self, *words: object, timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """`manage.py WORDS` as a person would run it; the caller looks at code and text."""
        return self.run_command([*self._manage, *map(str, words)], timeout_s=timeout_s)

    def run_command(
        self, command: Sequence[str], *, timeout_s: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.checkout,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def manage(self, *words: object, expect: int = 0, timeout_s: float = COMMAND_S) -> Any:
        """The same with --json: the parsed document. Fails unless the exit code is `expect`."""
        return self._document([*self._manage, *map(str, words)], expect, timeout_s)

    def program(self, module: str, *words: object, expect: int = 0, timeout_s: float = COMMAND_S) -> Any:
        """`python -m MODULE WORDS --json`: the parsed document. Fails unless the exit code is `expect`."""
        command = [sys.executable, "-m", module, *(str(word) for word in words)]
        return self._document(command, expect, timeout_s)

    def _document(self, command: Sequence[str], expect: int, timeout_s: float) -> Any:
        done = self.run_command([*command, "--json"], timeout_s=timeout_s)
        said = f"{shlex.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expect, said
        return json.loads(done.stdout)

    def python(self, code: str) -> Any:
        """Run code in the stack's Django; what it assigns to `result` comes back through JSON."""
        return self._own_console().ask(code=code)

    def look(self, *words: object) -> dict[str, Any]:
        """The document of a command that only looks, without a process of its own."""
        document: dict[str, Any] = self._own_console().ask(words=[str(word) for word in words])
        return document

    def _own_console(self) -> Console:
        if self._console is None or not self._console.usable(self.env):
            self._close_console()
            self._console = Console(self.env, self.folder / "console.log")
        return self._console

    def _close_console(self) -> None:
        if self._console is not None:
            self._console.close()
            self._console = None

    # --- parts --------------------------------------------------------------------------------------

    def add_simulator(self, *arguments: str, name: str = NODE, **options: object) -> str:
        """A node served by the simulator: `seconds_per_step=0.1`, or words like "--fault", "die@3"."""
        words = [*arguments]
        for option, value in options.items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        self.env["STABLENEW_SIMULATOR_OPTIONS"] = shlex.join(["--journal", str(self.journal_path), *words])
        self.python(
            "from webui.nodes.adding import add_node, simulator_spec\n"
            f"spec = simulator_spec({name!r}, 'http://127.0.0.1:{free_port()}')\n"
            "result = add_node(spec.name, **spec.configuration()).pk"
        )
        return name

    def add_attached(self, base_url: str, name: str = "attached") -> str:
        """A node whose WebUI somebody else keeps running."""
        self.python(f"from webui.nodes.adding import add_node\nresult = add_node({name!r}, {base_url!r}).pk")
        return name

    def start_node(self, name: str = NODE, *words: str, key: str = "") -> subprocess.Popen[bytes]:
        """`run_node NAME`, stopping the WebUI that it starts; `words` are more of its arguments."""
        arguments = ["run_node", name, *(words or ("--drain", "10", "--stop-webui"))]
        return self.spawn(key or f"node-{name}", arguments)

    def start_web(self) -> str:
        """The web server; returns its address when it listens."""
        process = self.spawn("web", ["serve", "--port", str(self.web_port)])
        self.wait_until(
            lambda: listens(self.web_port) or process.poll() is not None, "the web server listens"
        )
        assert process.poll() is None, self.log("web")
        return self.web_url

    def spawn(
        self, key: str, arguments: Sequence[str], *, within: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """A long-running command in a session of its own, perhaps `within` another; its output is `log(key)`."""
        return self.spawn_command(key, [*within, *self._manage, *arguments])

    def spawn_python(self, key: str, code: str) -> subprocess.Popen[bytes]:
        """A Python program of the test's own with the stack's environment."""
        return self.spawn_command(key, [self.interpreter, "-c", code])

    def spawn_command(self, key: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Any program, like what a person starts by hand."""
        with open(self.folder / f"{key}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.checkout,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[key] = process
        return process

    def log(self, key: str) -> str:
        path = self.folder / f"{key}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # --- looking and waiting ---------------------------------------------------------------------------

    def wait_until(
        self, holds: Callable[[], Any], what: str, timeout_s: float = START_S, every_s: float = 0.1
    ) -> Any:
        """Poll until `holds()` is true and return what it gave; fails with all logs otherwise."""
        deadline_s = time.monotonic() + timeout_s
        while not (found := holds()):
            assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}\n{self.all_logs()}"
            time.sleep(every_s)
        return found

    def wait_ready(self, name: str = NODE, timeout_s: float = START_S) -> dict[str, Any]:
        """Wait until the keeper calls the node READY; returns the node as `queue status` shows it."""

        def ready() -> bool:
            return self.sql(f"SELECT state FROM webui_node WHERE name = '{name}'") == [("READY",)]  # noqa: S608

        self.wait_until(ready, f"node {name} is READY", timeout_s)
        return next(node for node in self.nodes() if node["name"] == name)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows straight from the database: cheap enough to poll."""
        return self.database.rows(query)

    def status(self) -> dict[str, Any]:
        return self.look("queue", "status")

    def nodes(self) -> list[dict[str, Any]]:
        return list(self.status()["nodes"])

    def wait_ledger(self, timeout_s: float = START_S, **counts: int) -> dict[str, int]:
        """Wait until the ledger shows these counts, e.g. `completed=3`."""

        columns = ", ".join(counts)

        def reached() -> bool:
            return self.sql(f"SELECT {columns} FROM jobs_queuecontrol") == [tuple(counts.values())]  # noqa: S608

        self.wait_until(reached, f"the ledger shows {counts}", timeout_s)
        return dict(self.status()["ledger"])

    def job(self, job_id: int) -> dict[str, Any]:
        return self.look("jobs", "show", job_id)

    def wait_job(self, job_id: int, *statuses: str, timeout_s: float = START_S) -> dict[str, Any]:
        """Wait until the job has one of these statuses; returns the whole job."""

        def there() -> bool:
            [(status,)] = self.sql(f"SELECT status FROM jobs_job WHERE id = {job_id}")  # noqa: S608
            return status in statuses

        self.wait_until(there, f"job {job_id} is {' or '.join(statuses)}", timeout_s)
        return self.job(job_id)

    def wait_draining(self) -> None:
        """Until run_node has heard that it is to leave."""
        self.wait_until(lambda: self.sql("SELECT 1 FROM jobs_runner WHERE draining"), "the node drains")

    def journal(self, event: str | None = None) -> list[dict[str, Any]]:
        """The simulator's own account, line by line."""
        if not self.journal_path.exists():
            return []
        # The last line may be half written: it belongs to the next look.
        whole = self.journal_path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        lines: list[dict[str, Any]] = [json.loads(line) for line in whole]
        return [line for line in lines if event in (None, line["event"])]

    def posts(self) -> list[dict[str, Any]]:
        """The generation requests that arrived, in order."""
        return self.journal("post")

    # --- packs ----------------------------------------------------------------------------------------

    def pack_file(self, name: str, text: str, document: Mapping[str, Any] | None = None) -> Path:
        """A pack on disk: its text and, where given, its JSON beside it."""
        folder = self.folder / "packs"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.txt"
        path.write_text(text, encoding="utf-8")
        if document is not None:
            path.with_suffix(".json").write_text(json.dumps(document), encoding="utf-8")
        return path

    def import_text(self, name: str, text: str, document: Mapping[str, Any] | None = None) -> str:
        self.manage("import_pack", self.pack_file(name, text, document))
        return name

    # --- the end --------------------------------------------------------------------------------------

    def kill(self, key: str, number: signal.Signals = signal.SIGKILL) -> None:
        """A signal to one process that `spawn` started."""
        self.processes[key].send_signal(number)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """TERM to all that was started, workers first; the second call does nothing."""
        self._close_console()
        started = sorted(self.processes.items(), key=lambda item: item[0] == "web")
        self.processes = {}
        for _, process in started:
            if process.poll() is None:
                process.terminate()
        deadline_s = time.monotonic() + timeout_s
        for _, process in started:
            try:
                process.wait(max(0.1, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue

    def living(self) -> list[psutil.Process]:
        """Every process of this installation: its folder stands in the environment or the command line."""
        mark = str(self.folder)
        ours = {os.getpid(), self._console.pid if self._console else 0}
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid in ours or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("STABLENEW_DATA_DIR") == mark or mark in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def sweep(self) -> list[str]:
        """Kill what still lives, by pid; returns what that was."""
        left = []
        for process in self.living():
            try:
                left.append(f"{process.pid} {' '.join(process.cmdline())}")
                process.kill()
                process.wait(30)
            except psutil.Error:
                continue
        return left

    def all_logs(self) -> str:
        logs = [*self.folder.glob("*.log"), *(self.folder / "logs").rglob("*.log")]
        parts = (f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in sorted(logs))
        return "\n".join(parts)


def running_stack(folder: Path, database: Database, settings: Mapping[str, str]) -> Iterator[Stack]:
    """A stack for one test; at its end everything is stopped, and nothing may be left."""
    stack = Stack(folder, database, settings)
    try:
        yield stack
        stack.stop()
        # Who was killed, or loses his parent, needs a moment to go.
        stack.wait_until(lambda: not stack.living(), "nothing runs any more", STOP_S)
    finally:
        stack.stop(timeout_s=5)
        stack.sweep()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
