"""One campaign from an empty folder to its judgement."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.e2e.databases import Database
from tests.e2e.stack import ROOT
from tests.fault.campaign.checker import judge
from tests.fault.campaign.drive import Drive
from tests.fault.campaign.evidence import Evidence, read_journal, read_tables
from tests.fault.campaign.installation import Installation
from tests.fault.campaign.lineups import IMAGE, LINEUPS
from tests.fault.campaign.plan import deck
from tests.fault.campaign.planted import PLANTS, copy_tree, plant
from tests.fault.campaign.report import document_of
from tests.fault.campaign.surroundings import surroundings

#: Of the faults so large a share may not find its moment (no request under way, say).
MISSED = 0.1


def run(
    folder: Path,
    *,
    faults: int,
    seed: int,
    work: str = IMAGE,
    pictures: int = 0,
    server: str = "",
    planted: str = "",
    only: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run and judge a campaign in this empty folder; its figures, with `violations`.

    `work` names the lineup; where it makes films or edits, `pictures` are submitted by one command to begin with.

    `server` is the address of a PostgreSQL server on which a database is made and dropped, or `own` for a fresh server
    that may be restarted; "" takes SQLite.
    """
    lineup = LINEUPS[work]
    source = copy_tree(ROOT, folder / "source")
    if planted:
        plant(planted, source)
        only = only or PLANTS[planted].kinds
    with (
        surroundings(folder, server, lineup.possible) as around,
        _database(around.server, folder / "data") as database,
    ):
        cards = deck(faults, seed, only, around.kinds())
        for kind, why in around.skipped().items():
            say(f"{kind} cannot strike here: {why}")
        prefix = around.clock.prefix() if around.clock else ()
        installation = Installation(folder / "data", database, source, lineup, prefix)
        drive = Drive(installation, cards, seed, around, say, pictures=pictures)
        drive.run()
        evidence = _evidence(installation, drive)
        # On the disk that is taken away.
        violations = judge(evidence)
    if len(drive.course.missed) > MISSED * faults:
        violations.append(f"{len(drive.course.missed)} of {faults} faults never found their moment.")
    return document_of(
        work=work,
        possible=lineup.possible,
        seed=seed,
        database="PostgreSQL" if server else "SQLite",
        planted=PLANTS[planted].meaning if planted else "",
        course=drive.course,
        evidence=evidence,
        violations=violations,
        skipped=around.skipped(),
    )


def _evidence(installation: Installation, drive: Drive) -> Evidence:
    tables = read_tables(installation.database.url)
    return Evidence(
        output_root=installation.outputs,
        input_root=installation.folder / "inputs",
        **tables,
        journals={node: read_journal(installation.journal(node)) for node in installation.lineup.every_node},
        asked=drive.asked,
        seen_events=drive.seen_events,
        left=drive.left,
        temporary=installation.temporary_files(),
        noticed=drive.course.noticed,
    )


@contextmanager
def _database(server: str, folder: Path) -> Iterator[Database]:
    """A fresh database: a file in the folder, or one on the server that is dropped afterwards."""
    if not server:
        yield Database(f"sqlite:///{folder / 'stablenew.sqlite3'}")
        return
    name = f"campaign_{uuid.uuid4().hex[:12]}"
    on_server = Database(server)
    on_server.execute(f'CREATE DATABASE "{name}"')
    try:
        yield Database(urlunsplit(urlsplit(server)._replace(path=f"/{name}")))
    finally:
        on_server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
