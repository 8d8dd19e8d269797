"""Bugs planted on purpose, in a copy of the source tree: a checker that has never failed proves nothing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

#: What the installation's processes need of the tree.
PARTS = ("manage.py", "stablenew_site", "diagnostics", "jobs", "webui", "templates")


@dataclass(frozen=True, slots=True)
class Patch:
    """`old` must stand in the file exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug: what it is, how it is made, and the kinds of faults that bring it out."""

    meaning: str
    patches: tuple[Patch, ...]
    kinds: tuple[str, ...]
    #: Only where nodes of several hosts share a database can a run be taken over while its worker lives.
    postgresql_only: bool = False


PLANTS: dict[str, Plant] = {
    "retry": Plant(
        "the one retry of a job is granted, but not charged",
        (
            Patch(
                "jobs/running/attempts.py",
                "            retry_count=1,\n            retry_after=attempt.pk,\n",
                "            retry_count=0,\n            retry_after=attempt.pk,\n",
            ),
            Patch(
                "jobs/supervising/reconcile.py",
                '"retry_count": 1, "retry_after": started.pk',
                '"retry_count": 0, "retry_after": None',
            ),
        ),
        ("die", "500", "kill-worker-busy", "kill-run-node", "poison"),
    ),
    "fencing": Plant(
        "a run goes on writing after somebody else has taken its job over",
        (
            # No write proves more than the number of events, and the run does not find out that it lost its lease.
            Patch(
                "jobs/queue/moves.py",
                "    return Job.objects.filter(pk=job_id, run_token=run_token, status=JobStatus.RUNNING, **known)\n",
                "    return Job.objects.filter(pk=job_id, **known)\n",
            ),
            Patch(
                "jobs/running/attempts.py",
                "StageAttempt.objects.filter(pk=attempt.pk, ended_at__isnull=True)",
                "StageAttempt.objects.filter(pk=attempt.pk)",
            ),
            Patch(
                "jobs/queue/moves.py",
                "    unchanged = Job.objects.filter(\n"
                "        pk=job.pk, status=before, run_token=job.run_token, last_sequence=job.last_sequence\n"
                "    )\n",
                "    unchanged = Job.objects.filter(\n"
                "        pk=job.pk, status=before, last_sequence=job.last_sequence\n"
                "    )\n",
            ),
        ),
        ("worker-frozen",),
        postgresql_only=True,
    ),
}


class PlantError(Exception):
    """The text that a planted bug replaces is not there (any more): adapt the patch to the source."""


def copy_tree(source: Path, into: Path) -> Path:
    """What an installation needs of the source tree, for itself; returns the copy."""
    for part in PARTS:
        origin, copy = source / part, into / part
        if origin.is_dir():
            shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, copy)
    return into


def plant(name: str, tree: Path) -> None:
    """Patch a copied tree. Raises `PlantError` before anything runs."""
    for patch in PLANTS[name].patches:
        path = tree / patch.file
        text = path.read_text(encoding="utf-8")
        if text.count(patch.old) != 1:
            raise PlantError(
                f"The bug {name!r} cannot be planted: in {patch.file} this stands {text.count(patch.old)} times, "
                f"not once:\n{patch.old}"
            )
        path.write_text(text.replace(patch.old, patch.new), encoding="utf-8")
