"""`python -m tests.benchmark`: measure submitting, claiming and our time per job, beside bare counterparts."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection

from jobs.cli import (
    AnsweringCommand,
    ArgumentsRefused,
    CommandAnswer,
    CommandRefused,
    positive_number,
    progress_bar,
)
from jobs.models import Job, QueueControl
from jobs.queue import control
from jobs.submitting.submission import Submitted
from stablenew_site.children import environment_of_another
from tests.benchmark import against, bulk, calibration, measures, pages, preflight, processor, seed_cache
from tests.benchmark.tables import show
from tests.seed.seeder import is_seeded
from webui.models import Node, NodeState
from webui.nodes.adding import ensure_default_node

PARTS = ("processor", "submit", "overhead", "claim", "preflight", "recovery", "demo", "pages", "bulk")
#: These look at a seeded database, one for both.
SEEDED_PARTS = ("pages", "bulk")
NUMBERS = ("records", "jobs", "queued", "finished", "crashes", "requests", "acts")
#: Four steps a job: long enough for the next wake-up to be fetched meanwhile, as with real pictures.
STEP_S = 0.075
#: How long the simulator takes to open its port in the part that kills it.
BOOT_S = 0.5
READY_S = 60.0
ALL_JOBS_S = 600.0
#: Turns of a comparison.
ROUNDS = 3


class Command(AnsweringCommand):
    help = (
        "Measure how fast 10,000 records are built and queued, how much time a job costs on top of the WebUI's, how "
        "fast a claim is in a long queue, how long a check of what nodes lack takes, how soon a job is retried after a "
        "crash, how long the demo takes, and how fast pages and acts on many jobs are in a long queue with a long "
        "history. Each part runs in a temporary folder with SQLite and the simulator."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--only", choices=PARTS, action="append", help="only this part (repeatable)")
        parser.add_argument("--records", type=positive_number, default=10_000, help="default: %(default)s")
        parser.add_argument("--jobs", type=positive_number, default=200, help="default: %(default)s")
        parser.add_argument("--queued", type=positive_number, default=100_000, help="default: %(default)s")
        parser.add_argument("--finished", type=int, default=1_000_000, help="default: %(default)s")
        parser.add_argument("--crashes", type=positive_number, default=30, help="default: %(default)s")
        parser.add_argument(
            "--requests", type=positive_number, default=40, help="of each page (default: %(default)s)"
        )
        parser.add_argument(
            "--acts",
            type=positive_number,
            default=10_000,
            help="jobs of each act on many (default: %(default)s)",
        )
        parser.add_argument(
            "--cache",
            type=Path,
            metavar="FOLDER",
            help="keep the seeded database of pages and bulk here for the next run (12 GB; bulk changes 3 %% of it)",
        )
        parser.add_argument(
            "--here",
            choices=PARTS,
            help="run one part on the configured database, which must hold no jobs (for PostgreSQL); pages and bulk "
            "seed it first, or take one that is seeded",
        )

        parser.add_argument(
            "--against",
            type=Path,
            metavar="CHECKOUT",
            help="measure in turns here and in another checkout with an environment of its own, which may be older; "
            "print the medians of both and their ratio",
        )
        parser.add_argument("--rounds", type=positive_number, help="turns of --against (default: 3)")

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        if options["against"] is None and options["rounds"]:
            raise ArgumentsRefused.saying("--rounds are the turns of --against.", "arguments")
        if options["against"] is not None and options["here"]:
            raise ArgumentsRefused.saying(
                "--here measures one database, --against two checkouts.", "arguments"
            )
        if options["here"]:
            calibrated = {"calibration": calibration.calibrate(settings.STABLENEW_DATA_DIR)}
            return CommandAnswer(calibrated | _measure(options["here"], options))
        if options["against"] is not None:
            return _against(options)
        document: dict[str, Any] = {"machine": _machine(), "at": datetime.now().astimezone().isoformat()}
        wanted = options["only"] or PARTS
        document |= {part: _in_a_folder(part, options) for part in wanted if part not in SEEDED_PARTS}
        document |= _seeded_parts([part for part in SEEDED_PARTS if part in wanted], options)
        answer = CommandAnswer(document)
        return show(answer, document)


def _against(options: Mapping[str, Any]) -> CommandAnswer:
    wanted = options["only"] or PARTS
    groups = [[part] for part in wanted if part not in SEEDED_PARTS]
    groups += [[part for part in SEEDED_PARTS if part in wanted]]
    words = {name: str(options[name]) for name in NUMBERS}
    rounds = options["rounds"] or ROUNDS
    with progress_bar(shown=not options["json"]) as bar:
        return against.compare(options["against"], groups, words, rounds, options["cache"], bar)


def _seeded_parts(parts: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """One after the other on one seeded database, which is kept if somebody says where."""
    if not parts:
        return {}
    with ExitStack() as stack:
        if options["cache"] is None:
            temporary = tempfile.TemporaryDirectory(prefix="stablenew-benchmark-")
            folder = Path(stack.enter_context(temporary))
        else:
            folder = options["cache"]
            try:
                seed_cache.prepare(folder, options["queued"], options["finished"])
            except ValueError as exc:
                raise CommandRefused.saying(str(exc), "benchmark") from exc
        env = environment_of_another(folder)
        _python(env, "manage.py", "migrate", "-v", "0")
        found = {part: _here(env, part, options) for part in parts}
        if options["cache"] is not None:
            seed_cache.keep(folder, options["queued"], options["finished"])
        return found


def _here(env: Mapping[str, str], part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    words = [f"--{name}={options[name]}" for name in NUMBERS]
    document: dict[str, Any] = json.loads(
        _python(env, "-m", "tests.benchmark", "--here", part, "--json", *words)
    )
    return document


def _in_a_folder(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """One part in a process and an installation of its own."""
    with tempfile.TemporaryDirectory(prefix="stablenew-benchmark-") as folder:
        journal = Path(folder) / "journal.jsonl"
        # It has what the pack of the measurement names: what no node has is held, and never ends.
        simulated = f"--lora ink --journal {shlex.quote(str(journal))} --seconds-per-step {STEP_S}"
        env = {**environment_of_another(Path(folder)), "STABLENEW_SIMULATOR_OPTIONS": simulated}
        if part == "recovery":
            crashes = measures.crash_rule(options["crashes"])
            env["STABLENEW_SIMULATOR_OPTIONS"] += f" --boot-seconds {BOOT_S} --fault {crashes}"
        _python(env, "manage.py", "migrate", "-v", "0")
        return _here(env, part, options)


def _python(env: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=settings.BASE_DIR,
        env=dict(env),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandRefused.saying(f"`{' '.join(words)}` failed; see the lines above.", "benchmark")
    return done.stdout


def _measure(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if part in SEEDED_PARTS:
        return _measure_seeded(part, options)
    if Job.objects.exists():
        raise CommandRefused.saying("This database holds jobs. Measure on an empty one.", "benchmark")
    if part == "processor":
        return processor.processor(options["records"])
    if part == "demo":
        return {"seconds": json.loads(_python(os.environ, "manage.py", "demo", "--json"))["seconds"]}
    if part == "submit":
        return measures.submitting(options["records"])
    if part == "claim":
        return measures.claiming(options["queued"], options["finished"])
    if part == "preflight":
        return preflight.preflights(options["records"], options["queued"])
    if part == "recovery":
        journal = _run_jobs(options["crashes"], then=lambda node, submitted: None)
        return measures.recovering(journal, settings.STABLENEW_SETTLE_S)
    return _overhead(options["jobs"])


def _measure_seeded(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    seeding_s = 0.0
    if not is_seeded():
        began_s = time.monotonic()
        with progress_bar(shown=True) as bar:
            seed_cache.fill(options["queued"], options["finished"], bar)
        seeding_s = time.monotonic() - began_s
    measure, number = (pages.pages, options["requests"]) if part == "pages" else (bulk.bulk, options["acts"])
    return {"seeding_s": seeding_s, **measure(number)}


def _overhead(count: int) -> dict[str, Any]:
    """Jobs, then the same requests bare, to the same simulator."""
    journal = _run_jobs(count, then=lambda node, submitted: measures.post_bare(node.base_url, submitted))
    posts = [line for line in journal if line["event"] == "post"]
    return measures.compare([datetime.fromisoformat(post["time"]).timestamp() for post in posts], count)


def _run_jobs(count: int, then: Callable[[Node, Submitted], None]) -> list[dict[str, Any]]:
    """Jobs through a real `run_node` to their end, `then` while the WebUI still runs; the simulator's journal."""
    node = ensure_default_node()
    words = shlex.split(settings.STABLENEW_SIMULATOR_OPTIONS)
    if "--journal" not in words:
        raise CommandRefused.saying(
            "STABLENEW_SIMULATOR_OPTIONS names no --journal: its times are the measurement.", "benchmark"
        )
    control.pause(by="benchmark")
    submitted = measures.prepare_jobs(count)
    connection.close()
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "run_node", node.name, "--drain", "1"]
    worker = subprocess.Popen([*command, "--stop-webui", "--with-parent"], start_new_session=True)
    try:
        _wait(lambda: Node.objects.get(pk=node.pk).state == NodeState.READY, READY_S, "the node is ready")
        node.refresh_from_db()
        control.resume(by="benchmark")
        _wait(lambda: QueueControl.objects.get().completed == count, ALL_JOBS_S, "all jobs are completed")
        then(node, submitted)
    finally:
        worker.terminate()
        worker.wait(60)
    lines = Path(words[words.index("--journal") + 1]).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _wait(holds: Any, timeout_s: float, what: str) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise CommandRefused.saying(f"Not within {timeout_s:g} s: {what}.", "benchmark")
        # Rarely: the look itself takes time from what is measured.
        time.sleep(0.5)


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        # What else the machine is doing: with more than its cores the times are those of a crowd.
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "cpu": _cpu_name(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "database": connection.vendor,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
