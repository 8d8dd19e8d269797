"""Whether this machine can keep what a job makes: an output folder that takes files, and room on the disks.

What is wrong there is wrong for every job alike. So it holds the claims of all nodes of this machine (`hold`) and is
charged to no job; `run_node` tries the folder now and then (`trouble`) and lets them go on (`release`).
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from jobs.models import Job, OutputImage, Runner
from jobs.queue.control import touch
from jobs.queue.wakeup import kick
from jobs.records.record import NormalizedJobRecord
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


def lack_of_room(job: Job | None) -> str:
    """Why the files of this job would not fit, as a sentence; empty where they do.

    Without a job: why not even what is written beside pictures would.
    """
    root = output_root()
    try:
        if missing := _folder_is_gone(root):
            return missing
        if shutil.disk_usage(root).free < PLENTY_BYTES:
            needed = (
                expected_bytes(NormalizedJobRecord.from_canonical(job.record.canonical_json)) if job else 0
            )
            if words := _too_little(root, needed, "for the next job's pictures"):
                return words
        if connection.vendor == "sqlite" and (database := _database_folder()):
            return _too_little(database, 0, "for the database")
    except OSError as exc:
        return sentence_of(exc, root)
    return ""


def trouble(job: Job | None) -> str:
    """As `lack_of_room`, and a file is written where that job writes its own: what the folder says to it."""
    if words := lack_of_room(job):
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
    folder.mkdir(parents=True, exist_ok=True)


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


def _too_little(folder: Path, needed: int, what: str) -> str:
    usage = shutil.disk_usage(folder)
    least = needed + min(RESERVE_BYTES, usage.total // RESERVE_SHARE)
    if usage.free >= least:
        return ""
    return f"{folder} has {_mib(usage.free)} free, and {_mib(least)} are needed {what}."


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
