"""`python -m tests.fault.campaign`: run a campaign, print its figures, end with 1 if a promise was broken."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.fault.campaign.campaign import run
from tests.fault.campaign.lineups import IMAGE, LINEUPS
from tests.fault.campaign.planted import PLANTS, PlantError
from tests.fault.campaign.report import lines_of
from tests.fault.campaign.surroundings import OWN

#: Of each kind, where nobody says how many faults there are.
OF_EACH = 10
PICTURES = 100


def main() -> int:
    given = _arguments()
    server = given.database if given.database.startswith(("postgres", OWN)) else ""
    if given.plant and PLANTS[given.plant].postgresql_only and not server:
        print(
            f"The bug {given.plant!r} shows on PostgreSQL only; give --database postgres://...",
            file=sys.stderr,
        )
        return 2
    # A TERM ends the campaign as Ctrl-C does: everything it started is stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="campaign-")).resolve()
    document = None
    try:
        document = run(
            folder,
            faults=given.faults or OF_EACH * len(LINEUPS[given.work].possible),
            work=given.work,
            pictures=given.pictures,
            seed=given.seed,
            server=server,
            planted=given.plant,
            only=given.only,
            say=lambda line: print(line, flush=True),
        )
    except PlantError as exc:
        print(exc, file=sys.stderr)
        return 2
    finally:
        if document is None or document["violations"] or given.keep:
            print(f"Logs, journals and pictures are kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if given.report:
        given.report.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print("\n".join(lines_of(document)), flush=True)
    return 1 if document["violations"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fault.campaign",
        description=(
            "A long queue on a real installation of simulated nodes, while faults of every kind strike it; "
            "then a judgement from the database, the journals and the disk. Exit 1: a promise was broken."
        ),
        epilog="\n".join(
            f"kinds of {work}: " + ", ".join(kind.name for kind in lineup.possible)
            for work, lineup in LINEUPS.items()
        ),
    )
    add = parser.add_argument
    add("--faults", type=int, help=f"how many (default: {OF_EACH} of each kind)")
    add("--work", choices=sorted(LINEUPS), default=IMAGE, help="what the nodes make (default: %(default)s)")
    add(
        "--pictures",
        type=int,
        default=PICTURES,
        help="films and edits: so many input pictures are submitted by one command first (default: %(default)s)",
    )
    add("--seed", type=int, default=1, help="decides what strikes, where and when (default: %(default)s)")
    add(
        "--database",
        default="",
        metavar="URL",
        help="a PostgreSQL server, or `own` for a fresh one (default: SQLite)",
    )
    add("--plant", choices=sorted(PLANTS), default="", help="plant this bug in a copy of the source first")
    add("--only", action="append", default=[], metavar="KIND", help="only these kinds (repeatable)")
    add("--report", type=Path, metavar="FILE.json", help="write the figures and violations there, too")
    add("--keep", action="store_true", help="keep the folder even when all went well")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
