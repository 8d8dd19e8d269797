"""Is everything as it should be? Facts of all apps, judged here; nothing is repaired or changed.

`quick_checks` is what `/healthz` can afford at every call; `checks` adds what `doctor` has time for.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.checks import WARNING, run_checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count

from jobs.clock import database_now
from jobs.lifecycle import JobStatus
from jobs.models import Job, QueueControl
from jobs.queue.hold_words import ABOUT_BREAKER, Hold, hold_of_kind, holds_of, holds_of_queue, lasting
from jobs.queue.holds import HoldCode, all_facts, lasting_facts
from webui.errors import WebUIError
from webui.kinds import WorkKind
from webui.models import Node, NodeState
from webui.nodes.connecting import connect
from webui.typed_command import typed

#: Which check tells of a hold; all others are told as the node's.
SUBJECTS = {
    HoldCode.NO_WORKER: "worker",
    HoldCode.DRAINING: "worker",
    **dict.fromkeys(ABOUT_BREAKER, "breaker"),
}
#: Less free space than this and the next pictures may not be written.
MIN_FREE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One fact and its verdict. `remedy` says what to do and is empty when `ok`."""

    name: str
    ok: bool
    message: str
    remedy: str = ""


def quick_checks() -> list[CheckResult]:
    """Database, disk, workers and nodes: a few queries and no HTTP."""
    results = [check_database(), check_disk(settings.STABLENEW_DATA_DIR)]
    if not results[0].ok:
        return results
    try:
        return results + _check_nodes_and_workers()
    except DatabaseError as exc:
        return [*results, _no_tables(exc)]


def checks() -> list[CheckResult]:
    """Everything, for a person who asks: also settings, migrations, the ledger, and each WebUI's API."""
    results = quick_checks()
    results.append(check_settings())
    if not results[0].ok:
        return results
    try:
        results += [*check_kinds(), check_migrations(), check_ledger(), *check_webuis(Node.objects.all())]
    except DatabaseError as exc:
        results.append(_no_tables(exc))
    return results


def check_database() -> CheckResult:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except DatabaseError as exc:
        return CheckResult(
            "database",
            ok=False,
            message=f"The database does not answer: {_first_line(exc)}",
            remedy="Start the database, or correct DATABASE_URL.",
        )
    return CheckResult("database", ok=True, message=f"The {connection.vendor} database answers.")


def check_disk(folder: Path) -> CheckResult:
    """The data folder takes a file, and has room for more pictures."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"stablenew")
            probe.flush()
        free_bytes = shutil.disk_usage(folder).free
    except OSError as exc:
        return CheckResult(
            "disk",
            ok=False,
            message=f"The data folder {folder} cannot be written ({exc.strerror}).",
            remedy="Give this user write access, or set STABLENEW_DATA_DIR to another folder.",
        )
    gib = free_bytes / 1024**3
    if free_bytes < MIN_FREE_BYTES:
        return CheckResult(
            "disk",
            ok=False,
            message=f"Only {gib:.1f} GiB are free in {folder}.",
            remedy="Free some space: pictures can no longer be kept safely.",
        )
    return CheckResult("disk", ok=True, message=f"{folder} can be written; {gib:.1f} GiB are free.")


def check_settings() -> CheckResult:
    """Django's own system checks and those of our apps."""
    found = [message for message in run_checks() if message.level >= WARNING and not message.is_silenced()]
    if not found:
        return CheckResult("settings", ok=True, message="No system check complains.")
    return CheckResult(
        "settings",
        ok=False,
        message="; ".join(f"{message.id}: {message.msg}" for message in found),
        remedy=" ".join(message.hint for message in found if message.hint) or "See docs/settings.md.",
    )


def check_migrations() -> CheckResult:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not waiting:
        return CheckResult("migrations", ok=True, message="The database has every migration.")
    names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in waiting[:5])
    more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
    return CheckResult(
        "migrations",
        ok=False,
        message=f"The database lacks {len(waiting)} migrations: {names}{more}.",
        remedy=f"Run: {typed('migrate')}",
    )


def check_ledger() -> CheckResult:
    """The counters that pages show equal the rows that they count."""
    rows = Job.objects.values_list("status").annotate(number=Count("id")).order_by("status")
    counted = {JobStatus(status): number for status, number in rows}
    control = QueueControl.objects.get(pk=QueueControl.SINGLETON_ID)
    wrong = [
        f"{status.lower()} {getattr(control, status.lower())}, counted {counted.get(status, 0)}"
        for status in JobStatus
        if getattr(control, status.lower()) != counted.get(status, 0)
    ]
    if wrong:
        return CheckResult(
            "ledger",
            ok=False,
            message=f"The ledger and the jobs disagree: {'; '.join(wrong)}.",
            remedy="Stop run_node and look for rows that were changed by hand; if there are none, report it.",
        )
    return CheckResult("ledger", ok=True, message=f"The ledger holds: {control.submitted:,} jobs.")


def check_webuis(nodes: Iterable[Node]) -> list[CheckResult]:
    """Ask each READY WebUI for its progress; the others are left alone while they start or recover."""
    return [_check_webui(node) for node in nodes if node.state == NodeState.READY]


def _check_webui(node: Node) -> CheckResult:
    name = f"webui:{node.name}"
    try:
        connect(node).progress()
    except WebUIError as exc:
        return CheckResult(
            name, ok=False, message=f"{node.name} at {node.base_url}: {exc}", remedy=exc.remedy
        )
    return CheckResult(name, ok=True, message=f"{node.name} answers at {node.base_url}.")


def _check_nodes_and_workers() -> list[CheckResult]:
    now = database_now()
    nodes = list(Node.objects.select_related("runner"))
    facts = lasting_facts(nodes, now)
    if not nodes and (hold := hold_of_kind(WorkKind.IMAGE, facts)):
        return [_held("node", hold)]
    results: list[CheckResult] = []
    for node, one in zip(nodes, facts, strict=True):
        found = {
            f"node:{node.name}": CheckResult(
                f"node:{node.name}", ok=True, message=f"{node.name} is ready at {node.base_url}."
            ),
            f"worker:{node.name}": CheckResult(
                f"worker:{node.name}", ok=True, message=f"run_node {node.name} is running."
            ),
        }
        # What has to go first is told.
        for hold in reversed(lasting(holds_of(one, now))):
            name = f"{SUBJECTS.get(hold.code, 'node')}:{node.name}"
            found[name] = _held(name, hold)
        results += found.values()
    return results


def check_kinds() -> list[CheckResult]:
    """Each kind of waiting jobs that no worker takes, and the jobs that no node has everything for."""
    control = QueueControl.objects.get(pk=QueueControl.SINGLETON_ID)
    now = database_now()
    holds = holds_of_queue(None, all_facts(now), now, queued=control.queued)
    return [_held("queue", hold) for hold in holds if hold.code in (HoldCode.NO_WORKERS, HoldCode.LACKING)]


def _held(name: str, hold: Hold) -> CheckResult:
    return CheckResult(name, ok=False, message=hold.text, remedy=hold.remedy)


def _no_tables(exc: DatabaseError) -> CheckResult:
    return CheckResult(
        "tables",
        ok=False,
        message=f"The tables cannot be read: {_first_line(exc)}",
        remedy=f"Run: {typed('migrate')}",
    )


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().split("\n")[0]
