"""`python -m tests.upgrade`: prove that this checkout takes over what an older one has left; 1 if anything is wrong."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.e2e.databases import Database
from tests.upgrade.proof import Report, prove


def main() -> int:
    given = _arguments()
    # A TERM ends it as Ctrl-C does: everything that it started is stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="upgrade-")).resolve()
    report = None
    try:
        with _database(folder, given.database) as database:
            report = prove(
                given.older.resolve(),
                folder,
                database,
                jobs=given.jobs,
                back=given.back,
                may_change=given.may_change,
                say=lambda line: print(line, file=sys.stderr, flush=True),
            )
    finally:
        if given.keep or report is None or not report.ok:
            print(f"Logs and files are kept in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        print(json.dumps({"ok": report.ok, **asdict(report)}, indent=2))
    else:
        _tell(report)
    return 0 if report.ok else 1


def _tell(report: Report) -> None:
    facts = report.facts
    print(f"{len(facts['migrations'])} migrations on {facts['database']}: {', '.join(facts['migrations'])}")
    print(f"new columns: {', '.join(facts['columns_new']) or 'none'}")
    print(f"columns that are gone: {', '.join(facts['columns_gone']) or 'none'}")
    print(
        f"The migration took {facts['migration_s']} s; a loop of 5,000,000 squares {facts['calibration_s']} s, "
        f"and seeding {facts['jobs']:,} jobs {facts['seeding_s']} s."
    )
    for check in report.checks:
        print(f"{'ok   ' if check['ok'] else 'WRONG'}  {check['what']}")
        if check["problems"]:
            print(f"       {check['problems']}")


@contextmanager
def _database(folder: Path, given: str) -> Iterator[Database]:
    """SQLite in the folder, or a database of its own on that PostgreSQL server, dropped afterwards."""
    if not given.startswith("postgres"):
        yield Database(f"sqlite:///{folder / 'stablenew.sqlite3'}")
        return
    server, name = Database(given), f"upgrade_{uuid.uuid4().hex[:12]}"
    server.execute(f'CREATE DATABASE "{name}"')
    try:
        yield Database(urlunsplit(urlsplit(given)._replace(path=f"/{name}")))
    finally:
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.upgrade",
        description=(
            "An older checkout makes an installation and is killed in the middle of a job; this one upgrades it. Then "
            "nothing may be lost, and the queue must go on. Exit 1: something is wrong."
        ),
    )
    add = parser.add_argument
    add("--from", type=Path, required=True, dest="older", metavar="CHECKOUT", help="with a .venv of its own")
    add("--jobs", type=int, default=100_000, help="how many it holds (default: %(default)s)")
    add("--database", default="sqlite", metavar="sqlite|URL", help="or postgres://... of a server to work on")
    add(
        "--back",
        nargs=2,
        metavar=("APP", "MIGRATION"),
        help="migrate the older one back to there first, to see an upgrade where nothing is new",
    )
    add(
        "--may-change",
        action="append",
        default=[],
        metavar="TABLE[.COLUMN]",
        help="a migration changes this on purpose (repeatable)",
    )
    add("--json", action="store_true", help="print one JSON document on standard output")
    add("--keep", action="store_true", help="keep the folder even when all is well")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
