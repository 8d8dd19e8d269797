"""A seeded database that several measurements use: made once, and anew when it no longer is what a run asks for."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from django.apps import apps
from rich.progress import Progress

from tests.seed import seeder
from tests.seed.plan import Sizes
from tests.seed.seeder import seed

#: Beside the database: what it was made of.
STAMP = "seeded.json"
#: Newest finished jobs whose pictures are real files, for the pages that serve them.
PICTURES = 20


def prepare(folder: Path, queued: int, finished: int) -> None:
    """Empty the folder unless its database was seeded like this, to the end.

    Raises ValueError if it holds something else.
    """
    kept, stamp = folder / STAMP, _stamp(queued, finished)
    if kept.exists():
        if json.loads(kept.read_text(encoding="utf-8")) == stamp | {"whole": True}:
            return
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds something else than a seeded database. Name an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(stamp), encoding="utf-8")


def keep(folder: Path, queued: int, finished: int) -> None:
    """The database in it is whole: the next run may take it."""
    (folder / STAMP).write_text(json.dumps(_stamp(queued, finished) | {"whole": True}), encoding="utf-8")


def fill(queued: int, finished: int, bar: Progress) -> None:
    """Seed the configured database, which is empty."""
    sizes = Sizes.of(queued, finished)
    task = bar.add_task("seeding", total=sizes.jobs)
    seed(sizes, pictures=PICTURES, on_progress=lambda done: bar.update(task, completed=done))


def _stamp(queued: int, finished: int) -> dict[str, object]:
    return {"queued": queued, "finished": finished, "made_by": _made_by()}


def _made_by() -> str:
    """Changes with the code that seeds and with the tables."""
    sources = sorted(Path(seeder.__file__).parent.glob("*.py"))
    for app in ("jobs", "webui"):
        sources += sorted((Path(apps.get_app_config(app).path) / "migrations").glob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()
