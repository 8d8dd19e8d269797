"""`manage.py demo`: from pack to pictures, a film and an edit, one crash on the way, in a temporary folder."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from jobs.cli import EXIT_NOT_ALL_COMPLETED, AnsweringCommand, CommandAnswer, CommandRefused
from stablenew_site.children import command_line, environment_of_another
from stablenew_site.supervisor import STOP_DEADLINE_S
from webui.http.ports import free_port
from webui.typed_command import typed

SAMPLES = Path("jobs", "samples")
#: Whatever the samples name is there, and progress can be seen.
SIMULATOR = ("--any-name", "--adetailer", "--seconds-per-step", "0.05")
#: What becomes of the first picture: the kind, its prompt, and a size that a small machine draws in a moment.
BECOMES = (
    ("i2v", "the light moves over it", ("i2v.width=384", "i2v.num_frames=33")),
    ("edit", "make it evening", ("edit.width=384",)),
)
#: The simulator dies while it works on this request, counted from 1 over all its starts.
DEADLY_REQUEST = 2
#: Of each step, on a very slow machine, too: the whole demo takes some 20 s on two cores.
STEP_DEADLINE_S = 120.0
LOG_TAIL_CHARS = 1500


class Command(AnsweringCommand):
    help = (
        "Run a small built-in pack from import to finished pictures, then make a film and an edit of one of them, on "
        "embedded simulators in a temporary folder of its own. One dies once on purpose, to show what a crash "
        "costs: one restart and one retry. Takes less than a minute, needs no WebUI or worker and touches nothing "
        "else."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--keep",
            action="store_true",
            help="keep the database and the logs too, not only the pictures; `up` can go on with that folder",
        )

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        folder = Path(tempfile.mkdtemp(prefix="stablenew-demo-"))
        began_s = time.monotonic()
        demo = _Demo(folder)
        try:
            with demo.system():
                jobs = demo.show(demo.submit())
                jobs += demo.show(demo.go_on_with(jobs))
            starts = demo.webui_starts()
        except _DemoError as exc:
            raise CommandRefused.saying(f"{exc} The folder is kept: {folder}", "demo") from exc
        if not options["keep"]:
            _keep_pictures(folder)
        done = all(job["status"] == "COMPLETED" for job in jobs) and bool(jobs)
        seconds = round(time.monotonic() - began_s, 1)
        document = {
            "simulated": True,
            "completed": done,
            "folder": str(folder),
            "seconds": seconds,
            "webui_starts": starts,
            "retried": [job["id"] for job in jobs if job["retry_count"]],
            "jobs": jobs,
        }
        answer = CommandAnswer(document, exit_code=0 if done else EXIT_NOT_ALL_COMPLETED)
        return _show(answer, document, keep=options["keep"])


class _DemoError(Exception):
    """What went wrong, in a sentence."""


class _Demo:
    """An installation in a temporary folder: simulator, SQLite and default settings, whatever is set outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "up.log"
        self._journal = folder / "simulator.jsonl"
        self._env = {
            **environment_of_another(folder),
            "STABLENEW_SIMULATOR_OPTIONS": shlex.join(
                [
                    *SIMULATOR,
                    *("--journal", str(self._journal), "--fault", f"die@{DEADLY_REQUEST}"),
                ]
            ),
        }

    @contextmanager
    def system(self) -> Iterator[None]:
        """`up` for as long as the block runs."""
        with open(self._log, "wb") as log:
            up = subprocess.Popen(
                command_line("up", "--port", str(free_port())),
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for_node(up)
            yield
        finally:
            up.send_signal(signal.SIGTERM)
            try:
                up.wait(STOP_DEADLINE_S + 5)
            except subprocess.TimeoutExpired:
                up.kill()
                up.wait()

    def _wait_for_node(self, up: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + STEP_DEADLINE_S
        while " is READY" not in self._said():
            if up.poll() is not None or time.monotonic() > deadline_s:
                raise _DemoError(f"The system did not start: {self._said()[-LOG_TAIL_CHARS:]}")
            time.sleep(0.1)

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def submit(self) -> list[int]:
        """Numbers of the jobs of the samples, which have ended."""
        return self._submit(str(settings.BASE_DIR / SAMPLES), "--wait")

    def go_on_with(self, jobs: Sequence[Mapping[str, Any]]) -> list[int]:
        """A film and an edit of the first picture; none where there is no picture."""
        picture = next((one["path"] for job in jobs for one in reversed(job["outputs"])), None)
        made: list[int] = []
        if picture is None:
            return made
        for kind, prompt, overrides in BECOMES:
            changes = (word for one in overrides for word in ("--set", one))
            words = ("--kind", kind, "--name", f"demo-{kind}", "--prompt", prompt, *changes)
            made += self._submit(picture, *words, "--wait")
        return made

    def show(self, job_ids: Sequence[int]) -> list[dict[str, Any]]:
        if not job_ids:
            return []
        found = self.manage("jobs", "show", *map(str, job_ids))
        return list(found["jobs"] if len(job_ids) > 1 else [found])

    def _submit(self, *words: str) -> list[int]:
        submitted = self.manage("submit_pack", *words, accept=(0, EXIT_NOT_ALL_COMPLETED))
        return list(submitted["job_ids"])

    def webui_starts(self) -> int:
        """How often the simulator has started, by its own journal."""
        lines = self._journal.read_text(encoding="utf-8").splitlines()
        return sum(json.loads(line)["event"] == "start" for line in lines)

    def manage(self, *words: str, accept: Sequence[int] = (0,)) -> dict[str, Any]:
        try:
            done = subprocess.run(
                command_line(*words, "--json"),
                env=self._env,
                capture_output=True,
                text=True,
                timeout=STEP_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _DemoError(f"`{words[0]}` was not done after {STEP_DEADLINE_S:.0f} s.") from None
        if done.returncode not in accept:
            raise _DemoError(f"`{words[0]}` failed: {(done.stderr or done.stdout).strip()[-LOG_TAIL_CHARS:]}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document


def _keep_pictures(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == Path(settings.STABLENEW_OUTPUT_DIR).name:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _show(answer: CommandAnswer, document: Mapping[str, Any], *, keep: bool) -> CommandAnswer:
    jobs, folder = document["jobs"], document["folder"]
    answer.line(
        "SIMULATED: embedded simulators drew all of this; no WebUI, no model and no graphics card were used."
    )
    answer.table(
        "",
        ("job", "status", "row", "stages", "seed", "results", "retries", "prompt"),
        (
            (
                job["id"],
                job["status"],
                job["summary"]["prompt_pack_row_index"] + 1,
                " > ".join(job["summary"]["stage_chain_labels"]),
                job["record"]["seed"],
                len(job["outputs"]),
                "1, after a crash" if job["retry_count"] else "0",
                job["summary"]["positive_prompt_preview"][:48],
            )
            for job in jobs
        ),
    )
    for job in jobs:
        for output in job["outputs"]:
            answer.line(output["path"])
        if job["error"]:
            answer.line(f"job {job['id']}: {job['error'].get('message', '')}")
    _tell_crash(answer, document)
    answer.line(
        f"{len(jobs)} jobs in {document['seconds']:g} s. The results stay in {folder}; delete it when you like."
    )
    if keep:
        answer.line(f"Look around: STABLENEW_DATA_DIR={folder} {typed('up')}")
    return answer


def _tell_crash(answer: CommandAnswer, document: Mapping[str, Any]) -> None:
    """What the death on purpose came to, and the evidence that it left."""
    retried = (
        ", ".join(f"job {job_id} was retried once" for job_id in document["retried"]) or "no job was retried"
    )
    answer.line(
        f"The simulator died on purpose at request {DEADLY_REQUEST}: {document['webui_starts']} starts in all, "
        f"{retried}. What the crash left:"
    )
    outputs = Path(document["folder"]) / Path(settings.STABLENEW_OUTPUT_DIR).name
    left = (
        path for job in document["jobs"] for one in job["stage_attempts"] for path in one["artifact_paths"]
    )
    for path in dict.fromkeys(left):
        answer.line(str(outputs / path))
