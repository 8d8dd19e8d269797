"""The evidence of a lost worker: the end of what it wrote, kept beside the pictures of the job that it left.

A worker writes where its `run_node` does: into a file under `up`, or wherever a person has led it. Nothing here raises:
evidence that cannot be had costs the job nothing.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from django.db import Error

from jobs.models import Job
from jobs.queue.identity import ProcessIdentity, host_identity
from jobs.queue.storage import make_folder, run_directory
from jobs.records.reading import read_record
from jobs.running.unit import relative
from webui.evidence.failure_artifacts import FIRST_FAILURE
from webui.evidence.redaction import redact_text, secrets_in, secrets_of
from webui.processes.tail_capture import tail_of
from webui.whole_file import write_file

logger = logging.getLogger(__name__)

WORKER_TAIL_FILE: Final = "worker_tail.log"
TAIL_LINES: Final = 200
OUTPUT: Final = Path("/proc/self/fd/2")
"""The error output of this process, which its workers share."""
NO_FILE: Final = (
    "(The output of this run_node goes to no file. Look where it was started: a service manager keeps it, "
    "as `journalctl` shows, and so may the terminal.)"
)
ELSEWHERE: Final = "(The runner was on another machine. Its output is there, in the log of that run_node.)"


def keep_worker_tail(job: Job) -> list[str]:
    """Writes the file into the job's folder; its path relative to the output folder, nothing where it is not written.

    Called while the job still names its owner. The newest loss has the plain name, an older one is moved away.
    """
    try:
        text = _tail(job.owner)
        text = redact_text(text, secrets_of(node_id=job.node_id) | secrets_in(_prompts(job)))
        folder = run_directory(job)
        make_folder(folder)
        path = folder / WORKER_TAIL_FILE
        first = folder / FIRST_FAILURE / WORKER_TAIL_FILE
        if path.exists() and not first.exists():
            first.parent.mkdir(exist_ok=True)
            path.replace(first)
        write_file(path, f"{text}\n".encode("utf-8", errors="backslashreplace"))
        return relative([path, *([first] if first.exists() else [])])
    except (OSError, ValueError, Error) as exc:
        logger.warning(
            "The end of the lost runner's log could not be kept for job %s: %s",
            job.pk,
            exc,
            extra={"event": "failure.evidence_lost", "job_id": job.pk},
        )
        return []


def _tail(owner: str) -> str:
    identity = ProcessIdentity.parse(owner)
    if identity is not None and identity.host != host_identity():
        return ELSEWHERE
    try:
        if not stat.S_ISREG(os.stat(OUTPUT).st_mode):
            return NO_FILE
    except OSError:
        return NO_FILE
    return tail_of(OUTPUT, TAIL_LINES) or NO_FILE


def _prompts(job: Job) -> list[str]:
    """Our own log says no word of them; what it repeats of others may."""
    record = read_record(job.record.canonical_json)
    sides = [record.positive_prompt, record.negative_prompt]
    return [*sides, *(text for one in record.stage_prompts for text in (one.positive, one.negative) if text)]
