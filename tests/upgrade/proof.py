"""The proof: an older checkout makes an installation and dies in the middle of a job, this one takes it over.

Both run as a user's would: `migrate`, seeded rows, `up`; the death is a KILL of every process at once, as by a power
cut. What must hold afterwards is read from the database by plain SQL and told as checks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobs.errors import RecordChangedError
from jobs.records.reading import read_record
from tests.e2e.databases import Database
from tests.e2e.household import kill
from tests.e2e.stack import Stack, listens
from tests.promises import PATIENCE_S
from tests.upgrade.contents import ROWS_AT_ONCE, Contents, columns, contents_of, differences

#: Of the seeded jobs, how many wait.
QUEUED_SHARE = 0.4
#: So many of them must complete after the upgrade, besides the one that was RUNNING.
RUN_ON = 5
#: What may take its time with many jobs: seeding, migrating, all checks of `doctor`.
LONG_S = 6 * 3600.0
SIMULATOR = "--any-name --adetailer --seconds-per-step"
ORDER = "SELECT id FROM jobs_job WHERE status = 'QUEUED' ORDER BY priority, position, id"
RECORDS = "SELECT id, canonical_json, sha256 FROM jobs_jobrecord WHERE id > {after} ORDER BY id LIMIT {many}"
MIGRATIONS = "SELECT app, name FROM django_migrations ORDER BY id"


@dataclass(slots=True)
class Report:
    """What was done, how long it took, and what held."""

    facts: dict[str, Any] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def check(self, what: str, problems: object) -> None:
        """It holds where there are no problems."""
        self.checks.append({"what": what, "ok": not problems, "problems": problems or ""})

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check["ok"] for check in self.checks)


@dataclass(frozen=True, slots=True)
class Before:
    """What the older checkout left."""

    contents: Contents
    by_status: dict[str, int]
    order: list[int]
    migrations: list[tuple[str, str]]
    running: int


def prove(
    older_checkout: Path,
    folder: Path,
    database: Database,
    *,
    jobs: int,
    back: tuple[str, str] | None,
    may_change: Collection[str],
    say: Callable[[str], None],
) -> Report:
    """`back` is an app and a migration to which the older installation is migrated back before the upgrade."""
    report = Report({"from": str(older_checkout), "jobs": jobs, "database": database.vendor})
    older = Stack(folder, database, {}, checkout=older_checkout)
    newer = Stack(folder, database, {})
    try:
        _install(older, jobs, report, say)
        running = _die_in_a_job(older, say)
        if back is not None:
            _succeed(older, "migrate", *back)
        before = Before(
            contents_of(database), _by_status(database), _order(database), _migrations(database), running
        )
        _upgrade(newer, report, say)
        _check_nothing_lost(newer, before, report, may_change)
        _check_doctor(newer, "before anything ran", report)
        _run_on(newer, before, report, say)
        _check_doctor(newer, "after the queue went on", report)
    finally:
        for stack in (older, newer):
            stack.stop()
        newer.sweep()
    return report


# --- the older installation ------------------------------------------------------------------------------


def _install(older: Stack, jobs: int, report: Report, say: Callable[[str], None]) -> None:
    say(f"The checkout {older.checkout} makes an installation of {jobs:,} jobs in {older.folder}")
    _succeed(older, "migrate")
    queued = max(RUN_ON + 1, int(jobs * QUEUED_SHARE))
    sizes = ["--queued", str(queued), "--finished", str(max(1, jobs - queued))]
    with _timed(report, "seeding_s"):
        if (older.checkout / "tests" / "seed").is_dir():
            command = [older.interpreter, "-m", "tests.seed", *sizes]
        else:
            command = [older.interpreter, "manage.py", "seed", *sizes]
        seeded = older.run_command(command, timeout_s=LONG_S)
    assert seeded.returncode == 0, seeded.stderr


def _die_in_a_job(older: Stack, say: Callable[[str], None]) -> int:
    """The job that was RUNNING when everything of the installation was killed."""
    older.env["STABLENEW_SIMULATOR_OPTIONS"] = f"{SIMULATOR} 5 --journal {older.journal_path}"
    say("Its `up` begins to run the queue")
    _start_up(older, "older-up")
    older.wait_until(older.posts, "the first request is under way")
    [(running,)] = older.sql("SELECT id FROM jobs_job WHERE status = 'RUNNING'")
    webuis = {pid for (pid,) in older.sql("SELECT pid FROM webui_node WHERE pid IS NOT NULL")}
    # The WebUI last: whose request it was must not live to hear of its death.
    pids = sorted((process.pid for process in older.living()), key=webuis.__contains__)
    kill(*pids)
    older.wait_until(lambda: not older.living(), "everything is dead")
    say(f"{len(pids)} processes were killed at once in the middle of job {running}")
    return int(running)


# --- the upgrade -----------------------------------------------------------------------------------------


def _upgrade(newer: Stack, report: Report, say: Callable[[str], None]) -> None:
    with _timed(report, "calibration_s"):
        sum(number * number for number in range(5_000_000))
    say("This checkout migrates")
    with _timed(report, "migration_s"):
        said = _succeed(newer, "migrate")
    say(said.strip())


def _check_nothing_lost(newer: Stack, before: Before, report: Report, may_change: Collection[str]) -> None:
    after = contents_of(newer.database, before.contents)
    applied = [name for name in _migrations(newer.database) if name not in before.migrations]
    report.facts["migrations"] = [".".join(name) for name in applied]
    report.facts["tables"] = {name: table.rows for name, table in before.contents.items()}
    report.facts["columns_gone"] = sorted(columns(before.contents) - columns(after))
    report.facts["columns_new"] = sorted(columns(after) - columns(before.contents))
    found = differences(before.contents, after, may_change)
    report.check("nothing is lost and nothing changed", [f"{one.place}: {one.words}" for one in found])
    report.facts["jobs_by_status"] = by_status = _by_status(newer.database)
    report.check("as many jobs are in each state", "" if by_status == before.by_status else by_status)
    report.check(
        "every record is read, and has the hash that it was queued with", _unproved(newer.database, report)
    )
    wakeups = before.contents["django_q_ormq"].rows
    report.check("wake-ups were waiting", "" if wakeups else "There was none in django_q_ormq.")
    same = _order(newer.database) == before.order
    report.check("the queue has its order", "" if same else "It is another one.")
    lacking = newer.run("migrate", "--check", timeout_s=LONG_S)
    report.check("no migration is left", lacking.stdout if lacking.returncode else "")
    if newer.database.vendor == "sqlite":
        _check_copy(newer, before, report, expected=bool(applied))


def _check_copy(newer: Stack, before: Before, report: Report, *, expected: bool) -> None:
    copies = list(newer.folder.glob("stablenew-*.sqlite3"))
    if not expected:
        report.check("no copy was made for nothing", [str(copy) for copy in copies])
        return
    # An older migration that was undone before may have left its own.
    newest = max(copies, default=None)
    problems = ["There is none."]
    if newest is not None:
        copied = contents_of(Database(f"sqlite:///{newest}"))
        problems = [one.place for one in differences(before.contents, copied)]
    report.check("the copy is what was before", problems)


def _check_doctor(newer: Stack, when: str, report: Report) -> None:
    said = newer.run("doctor", "--json", timeout_s=LONG_S)
    found = {check["name"]: check for check in json.loads(said.stdout)["checks"]}
    wrong = [found[name]["message"] for name in ("database", "migrations", "ledger") if not found[name]["ok"]]
    report.check(f"`doctor` finds database, migrations and ledger right {when}", wrong)


# --- the queue goes on -----------------------------------------------------------------------------------


def _run_on(newer: Stack, before: Before, report: Report, say: Callable[[str], None]) -> None:
    expected = [before.running, *islice(before.order, RUN_ON)]
    chosen = ", ".join(map(str, expected))
    newer.env["STABLENEW_SIMULATOR_OPTIONS"] = f"{SIMULATOR} 0 --journal {newer.journal_path}"
    say("Its `up` goes on with the queue")
    _start_up(newer, "newer-up")

    def done() -> bool:
        [(left,)] = newer.sql(
            f"SELECT COUNT(*) FROM jobs_job WHERE id IN ({chosen}) AND status IN ('QUEUED', 'RUNNING')"  # noqa: S608
        )
        return not left

    newer.wait_until(done, f"jobs {chosen} have ended", timeout_s=PATIENCE_S * RUN_ON)
    up = newer.processes["newer-up"]
    newer.stop()
    report.check("its `up` ends by itself", "" if up.returncode == 0 else newer.log("newer-up"))
    newer.wait_until(lambda: not newer.living(), "nothing of it runs any more")
    rows = newer.sql(
        f"SELECT id, status, retry_count FROM jobs_job WHERE id IN ({chosen}) ORDER BY finished_at, id"  # noqa: S608
    )
    wrong = [f"job {job_id} is {status}" for job_id, status, _ in rows if status != "COMPLETED"]
    report.check(f"the job that was RUNNING and the next {RUN_ON} complete", wrong)
    order = [job_id for job_id, _, _ in rows]
    report.check("they end in the order of the queue", "" if order == expected else order)
    retries = {job_id: count for job_id, _, count in rows}
    charged = [job_id for job_id in expected if retries[job_id] != (job_id == before.running)]
    report.check("the lost run cost its job the one retry, and no other job any", charged)


def _start_up(stack: Stack, key: str) -> None:
    process = stack.spawn(key, ["up", "--port", str(stack.web_port)])
    stack.wait_until(
        lambda: process.poll() is not None or (" is READY" in stack.log(key) and listens(stack.web_port)),
        "`up` is complete",
    )
    assert process.poll() is None, stack.log(key)


# --- looks -----------------------------------------------------------------------------------------------


def _succeed(stack: Stack, *words: str) -> str:
    done = stack.run(*words, timeout_s=LONG_S)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def _order(database: Database) -> list[int]:
    return [job_id for (job_id,) in database.rows(ORDER)]


def _by_status(database: Database) -> dict[str, int]:
    return dict(database.rows("SELECT status, COUNT(*) FROM jobs_job GROUP BY status ORDER BY status"))


def _unproved(database: Database, report: Report) -> list[str]:
    """What is wrong with a record, as this checkout reads them."""
    wrong, last_id, report.facts["records"] = [], 0, 0
    while page := database.rows(RECORDS.format(after=last_id, many=ROWS_AT_ONCE)):
        for last_id, text, sha256 in page:
            report.facts["records"] += 1
            try:
                read_record(text, sha256)
            except (RecordChangedError, ValidationError) as exc:
                wrong.append(f"record {last_id}: {exc}")
    return wrong


def _migrations(database: Database) -> list[tuple[str, str]]:
    return [(app, name) for app, name in database.rows(MIGRATIONS)]


@contextmanager
def _timed(report: Report, name: str) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    report.facts[name] = round(time.monotonic() - began_s, 2)
