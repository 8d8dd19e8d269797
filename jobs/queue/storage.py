"""Whether this machine can keep what a job makes: an output folder that takes files, and room on the disks.

What is wrong there is wrong for every job alike. So it holds the claims of all nodes of this machine (`hold`) and is
charged to no job; `run_node` tries the folder now and then (`trouble`) and lets them go on (`release`).
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from jobs.models import Job, OutputImage, Runner
from jobs.queue.control import touch
from jobs.queue.wakeup import kick
from jobs.records.reading import read_record
from jobs.records.sizes import expected_bytes

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
#: With so much free nobody works out what a job needs.
PLENTY_BYTES = 8 * 1024 * MIB
#: What is to stay free for the database and its journal, and on a small disk this share of it.
RESERVE_BYTES = 64 * MIB
RESERVE_SHARE = 50
PROBE_BYTES = 1 * MIB
REASON_LENGTH = 300


def output_root() -> Path:
    return Path(settings.STABLENEW_OUTPUT_DIR)


def run_directory(job: Job) -> Path:
    """`<output root>/<date of the first claim, UTC>/<job id>`: one job's files and nobody else's."""
    day = job.started_at or job.submitted_at
    return output_root() / f"{day:%Y-%m-%d}" / str(job.pk)


# --- what is wrong ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """How the disks were a moment ago: `problem` is what no job could be kept for, as a sentence; empty for nothing.

    `free_bytes` and `reserve_bytes` are of the output folder's disk.
    """

    problem: str = ""
    free_bytes: int = 0
    reserve_bytes: int = 0

    def lack_for(self, job: Job | None) -> str:
        """Why the files of this job would not fit, as a sentence; empty where they do. Asks no disk."""
        if self.problem or self.free_bytes >= PLENTY_BYTES:
            return self.problem
        needed = expected_bytes(read_record(job.record.canonical_json)) if job else 0
        return _too_little(
            output_root(), self.free_bytes, needed + self.reserve_bytes, "for the next job's pictures"
        )


def measure() -> Room:
    """Asks the disks, which may take its time where one is far away: never within a transaction."""
    root = output_root()
    try:
        if missing := _folder_is_gone(root):
            return Room(missing)
        usage = shutil.disk_usage(root)
        if connection.vendor == "sqlite" and (database := _database_folder()):
            of_database = shutil.disk_usage(database)
            words = _too_little(database, of_database.free, _reserve(of_database.total), "for the database")
            if words:
                return Room(words)
    except OSError as exc:
        return Room(sentence_of(exc, root))
    return Room("", usage.free, _reserve(usage.total))


def trouble(job: Job | None) -> str:
    """Why that job's files cannot be read or kept: its input pictures, room, and what its folder says to a file; empty
    where they can.
    """
    if words := measure().lack_for(job) or _inputs_are_gone(job):
        return words
    folder = run_directory(job) if job is not None and job.started_at else output_root()
    probe = folder / f".probe-{os.getpid()}"
    try:
        make_folder(folder)
        try:
            with probe.open("wb") as file:
                file.write(b"\0" * PROBE_BYTES)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as exc:
        return sentence_of(exc, folder)
    return ""


def make_folder(folder: Path) -> None:
    """A job's folder, within an output folder that is there: one that was moved away is not made anew."""
    if missing := _folder_is_gone(output_root()):
        raise FileNotFoundError(missing)
    made = output_root()
    for part in folder.relative_to(made).parts:
        # One by one, because `parents` would make the output folder too, if it is moved away just now.
        made /= part
        made.mkdir(exist_ok=True)


def sentence_of(error: OSError, folder: Path) -> str:
    """Why a file could not be written, for people."""
    if isinstance(error, FileNotFoundError) and error.errno is None:
        return str(error)
    return f"Files cannot be written in {folder} ({error.strerror or error})."


def _folder_is_gone(root: Path) -> str:
    """The output folder is made at its first use alone: where pictures are known, its absence has a reason."""
    if root.is_dir():
        return ""
    if not OutputImage.objects.exists():
        root.mkdir(parents=True, exist_ok=True)
        return ""
    return f"The output folder {root} is not there."


def _inputs_are_gone(job: Job | None) -> str:
    root = Path(settings.STABLENEW_INPUT_DIR)
    if job is None or root.is_dir() or not read_record(job.record.canonical_json).inputs:
        return ""
    return f"The folder of input pictures {root} is not there."


def _reserve(total_bytes: int) -> int:
    return min(RESERVE_BYTES, total_bytes // RESERVE_SHARE)


def _too_little(folder: Path, free: int, least: int, what: str) -> str:
    return "" if free >= least else f"{folder} has {_mib(free)} free, and {_mib(least)} are needed {what}."


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"


def _database_folder() -> Path | None:
    name = str(connection.settings_dict["NAME"])
    folder = Path(name).parent
    return folder if name and folder.is_dir() else None


# --- the hold -----------------------------------------------------------------------------------------------


def hold(runner: Runner, reason: str) -> None:
    """No node of this machine takes a job until `release`. Within or without a transaction."""
    free = _of_this_machine(runner).filter(storage_reason="")
    if not free.update(storage_reason=reason[:REASON_LENGTH], storage_since=timezone.now()):
        return
    touch()
    logger.error(
        "Node %s takes no jobs: %s",
        runner.node.name,
        reason,
        extra={"event": "storage.held", "node": runner.node.name, "reason": reason},
    )


def release(runner: Runner) -> None:
    """The folder takes files again: whoever waited goes on."""
    held = _of_this_machine(runner).exclude(storage_reason="")
    waiting = list(held.values_list("pk", flat=True))
    held.update(storage_reason="", storage_since=None)
    touch()
    for runner_id in waiting:
        kick(runner_id)
    logger.warning(
        "Node %s takes jobs again: files can be written.",
        runner.node.name,
        extra={"event": "storage.released", "node": runner.node.name},
    )


def still_held(runner: Runner, reason: str) -> None:
    """The reason may change while it lasts: what people read is the newest."""
    if reason[:REASON_LENGTH] == runner.storage_reason:
        return
    _of_this_machine(runner).exclude(storage_reason="").update(storage_reason=reason[:REASON_LENGTH])
    touch()


def _of_this_machine(runner: Runner) -> QuerySet[Runner]:
    return Runner.objects.filter(Q(pk=runner.pk) | Q(host_identity=runner.host_identity))
