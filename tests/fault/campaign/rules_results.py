"""The results: each unit accepted once, complete where the job is, and on disk exactly as accepted."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

from tests.fault.campaign.books import Books

RENDERED_BY = re.compile(r"\bModel: ([^,\n]+)")
#: The infotext of extras tells of the picture they got, not of their own work.
SAMPLED_STAGES = frozenset({"txt2img", "img2img", "adetailer"})


def no_unit_is_accepted_twice(books: Books) -> Iterator[str]:
    for job_id, rows in books.outputs.items():
        units = Counter((row["take"], row["stage"], row["image_index"]) for row in rows)
        for (take, stage, image), count in units.items():
            if count > 1:
                yield f"Job {job_id}: picture {image} of {stage} was accepted {count} times (take {take})."
        paths = Counter(row["path"] for row in rows)
        for path, count in paths.items():
            if count > 1:
                yield f"Job {job_id}: {count} accepted pictures share the file {path}."


def completed_jobs_are_complete(books: Books) -> Iterator[str]:
    for job_id, job in books.jobs.items():
        rows = [row for row in books.outputs.get(job_id, []) if row["take"] == job["take"]]
        accepted = {(row["stage"], row["image_index"]) for row in rows}
        wanted = books.units_of(job)
        if accepted - wanted:
            yield f"Job {job_id} has pictures that its record does not ask for: {sorted(accepted - wanted)}."
        if job["status"] == "COMPLETED" and wanted - accepted:
            yield f"Job {job_id} is COMPLETED, but lacks {sorted(wanted - accepted)}."
        for entry in books.history.get(job_id, []):
            if sorted(entry["output_paths"]) != sorted(row["path"] for row in rows):
                yield f"Job {job_id}: history names other pictures than were accepted."


def accepted_files_are_as_they_were(books: Books) -> Iterator[str]:
    for job_id, rows in books.outputs.items():
        for row in rows:
            path = books.evidence.output_root / row["path"]
            if not path.is_file():
                yield f"Job {job_id}: the accepted picture {row['path']} does not exist."
            elif hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
                yield f"Job {job_id}: the file {row['path']} is not the one that was accepted."


def results_come_from_completed_attempts(books: Books) -> Iterator[str]:
    attempts = {row["id"]: row for row in books.evidence.attempts}
    for job_id, rows in books.outputs.items():
        for row in rows:
            attempt = attempts.get(row["attempt_id"])
            if attempt is None or attempt["job_id"] != job_id:
                yield f"Job {job_id}: {row['path']} comes from no attempt of this job."
            elif attempt["outcome"] != "completed":
                yield f"Job {job_id}: {row['path']} comes from an attempt that ended {attempt['outcome']!r}."


def the_right_checkpoint_rendered(books: Books) -> Iterator[str]:
    for job_id, rows in books.outputs.items():
        wanted = books.record_of(books.jobs[job_id]).get("base_model") if job_id in books.jobs else ""
        for row in rows:
            said = RENDERED_BY.search(row["infotext"] or "")
            if wanted and row["stage"] in SAMPLED_STAGES and said and said[1].strip() != wanted:
                yield f"Job {job_id}: {row['path']} was rendered by {said[1]!r} instead of {wanted!r}."
