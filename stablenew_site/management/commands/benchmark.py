"""`manage.py benchmark`: measure submitting, claiming and our time per job, beside bare counterparts."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection

from jobs import services
from jobs.cli import Answer, AnsweringCommand, CommandRefused, positive_number
from jobs.models import Job, QueueControl
from jobs.submission import Submitted
from stablenew_site import benchmarks
from webui.models import Node, NodeState
from webui.nodes import ensure_default_node

PARTS = ("submit", "overhead", "claim", "recovery")
#: Four steps a job: long enough for the next wake-up to be fetched meanwhile, as with real pictures.
STEP_S = 0.075
#: How long the simulator takes to open its port in the part that kills it.
BOOT_S = 0.5
READY_S = 60.0
ALL_JOBS_S = 600.0


class Command(AnsweringCommand):
    help = (
        "Measure how fast 10,000 records are queued, how much time a job costs on top of the WebUI's, how fast a "
        "claim is in a long queue, and how soon a job is retried after a crash. "
        "Each part runs in a temporary folder with SQLite and the simulator."
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
            "--here",
            choices=PARTS,
            help="run one part on the configured database, which must hold no jobs (for PostgreSQL)",
        )

    def answer(self, options: Mapping[str, Any]) -> Answer:
        if options["here"]:
            return Answer(_measure(options["here"], options))
        document: dict[str, Any] = {"machine": _machine(), "at": datetime.now().astimezone().isoformat()}
        for part in options["only"] or PARTS:
            document[part] = _in_a_folder(part, options)
        return _show(Answer(document), document)


def _in_a_folder(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """One part in a process and an installation of its own."""
    with tempfile.TemporaryDirectory(prefix="stablenew-benchmark-") as folder:
        journal = Path(folder) / "journal.jsonl"
        strange = ("STABLENEW_", "DATABASE_URL", "Q_CLUSTER")
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(strange)},
            "STABLENEW_DATA_DIR": folder,
            "STABLENEW_LOG_LEVEL": "WARNING",
            "STABLENEW_SIMULATOR_OPTIONS": f"--journal {shlex.quote(str(journal))} --seconds-per-step {STEP_S}",
        }
        if part == "recovery":
            crashes = benchmarks.crash_rule(options["crashes"])
            env["STABLENEW_SIMULATOR_OPTIONS"] += f" --boot-seconds {BOOT_S} --fault {crashes}"
        _manage(env, "migrate", "-v", "0")
        words = [f"--{name}={options[name]}" for name in ("records", "jobs", "queued", "finished", "crashes")]
        document: dict[str, Any] = json.loads(_manage(env, "benchmark", "--here", part, "--json", *words))
        return document


def _manage(env: Mapping[str, str], *words: str) -> str:
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]
    done = subprocess.run(command, env=dict(env), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise CommandRefused.saying(f"`{words[0]}` failed; see the lines above.", "benchmark")
    return done.stdout


def _measure(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if Job.objects.exists():
        raise CommandRefused.saying("This database holds jobs. Measure on an empty one.", "benchmark")
    if part == "submit":
        return benchmarks.submitting(options["records"])
    if part == "claim":
        return benchmarks.claiming(options["queued"], options["finished"])
    if part == "recovery":
        journal = _run_jobs(options["crashes"], then=lambda node, submitted: None)
        return benchmarks.recovering(journal, settings.STABLENEW_SETTLE_S)
    return _overhead(options["jobs"])


def _overhead(count: int) -> dict[str, Any]:
    """Jobs, then the same requests bare, to the same simulator."""
    journal = _run_jobs(count, then=lambda node, submitted: benchmarks.post_bare(node.base_url, submitted))
    posts = [line for line in journal if line["event"] == "post"]
    return benchmarks.compare([datetime.fromisoformat(post["time"]).timestamp() for post in posts], count)


def _run_jobs(count: int, then: Callable[[Node, Submitted], None]) -> list[dict[str, Any]]:
    """Jobs through a real `run_node` to their end, `then` while the WebUI still runs; the simulator's journal."""
    node = ensure_default_node()
    words = shlex.split(settings.STABLENEW_SIMULATOR_OPTIONS)
    if "--journal" not in words:
        raise CommandRefused.saying(
            "STABLENEW_SIMULATOR_OPTIONS names no --journal: its times are the measurement.", "benchmark"
        )
    services.pause(by="benchmark")
    submitted = benchmarks.prepare_jobs(count)
    connection.close()
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "run_node", node.name, "--drain", "1"]
    worker = subprocess.Popen([*command, "--stop-webui", "--with-parent"], start_new_session=True)
    try:
        _wait(lambda: Node.objects.get(pk=node.pk).state == NodeState.READY, READY_S, "the node is ready")
        node.refresh_from_db()
        services.resume(by="benchmark")
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


def _show(answer: Answer, document: Mapping[str, Any]) -> Answer:
    rows: list[tuple[str, str, str]] = []
    if part := document.get("submit"):
        rows += [
            (f"build {part['records']:,} records", f"{part['build_s']:.2f} s", ""),
            (f"submit {part['records']:,} records, all or nothing", f"{part['submit_s']:.2f} s", "3 s"),
            ("bare bulk_create of the same rows", f"{part['bare_bulk_create_s']:.2f} s", ""),
            ("submit against bare", f"{part['ratio']:.2f} x", "3 x"),
        ]
    if part := document.get("overhead"):
        rows += [
            (f"our time per job, p50 of {part['jobs']} jobs", f"{part['ours_p50_ms']:.1f} ms", "15 ms"),
            ("our time per job, p95", f"{part['ours_p95_ms']:.1f} ms", "40 ms"),
            ("one bare request, p50", f"{part['bare_post_p50_ms']:.1f} ms", ""),
        ]
    if part := document.get("claim"):
        what = f"claim at {part['queued']:,} queued + {part['finished']:,} finished"
        rows += [
            (f"{what}, p50", f"{part['p50_ms']:.2f} ms", "2 ms"),
            ("claim, p95", f"{part['p95_ms']:.2f} ms", ""),
        ]
    if part := document.get("recovery"):
        budget = f"{part['boot_p50_s'] + part['settle_s'] + 1:.1f} s"
        rows += [
            (
                f"from the WebUI's death to the retry, p95 of {part['crashes']}",
                f"{part['to_retry_p95_s']:.2f} s",
                budget,
            ),
            ("of it beside its own boot and settling, p95", f"{part['ours_p95_s']:.2f} s", "1 s"),
        ]
    machine = document["machine"]
    parts = (f"{machine['cpus']} cores ({machine['cpu']}), load {machine['load']} at the start",)
    answer.line("; ".join((*parts, machine["system"], f"Python {machine['python']}", "SQLite")))
    return answer.table("", ("what", "measured", "budget"), rows)
