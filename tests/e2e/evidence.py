"""What a failure leaves behind: events, files and the WebUI's own journal, as a person finds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.stack import Stack

CRASH_SUSPECTED = "QUEUE_JOB_WEBUI_CRASH_SUSPECTED"
RETRY_EXHAUSTED = "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED"
PLAIN = ("stage_failure_payload.json", "webui_tail.log")
FIRST = tuple(f"attempt-1/{name}" for name in PLAIN)


#: For whatever a run decides by itself; a busy machine takes its time.
DECIDED_S = 120.0


def ended(stack: Stack, ids: Sequence[int]) -> list[dict[str, Any]]:
    """All these jobs as `jobs show` has them, when the last of them has ended; one command for all."""
    wanted = ", ".join(str(job_id) for job_id in ids)
    unfinished = f"SELECT count(*) FROM jobs_job WHERE finished_at IS NULL AND id IN ({wanted})"  # noqa: S608
    stack.wait_until(lambda: stack.sql(unfinished) == [(0,)], f"jobs {wanted} have ended", DECIDED_S)
    found: list[dict[str, Any]] = stack.python(
        "from jobs.reading.document import job_document\n"
        "from jobs.models import Job\n"
        "jobs = Job.objects.select_related('record').in_bulk()\n"
        f"result = [job_document(jobs[pk]) for pk in {list(ids)!r}]"
    )
    return found


def kinds(job: dict[str, Any]) -> list[str]:
    """Its events since the first claim."""
    found = [event["event_type"] for event in job["events"]]
    return found[found.index("RUNNING") + 1 :]


def told(job: dict[str, Any], kind: str) -> dict[str, Any]:
    """The data of its one event of that kind."""
    [data] = [event["data"] for event in job["events"] if event["event_type"] == kind]
    return dict(data)


def run_folder(stack: Stack, job_id: int) -> Path:
    """The folder of the job's files."""
    [folder] = (stack.folder / "outputs").glob(f"*/{job_id}")
    return folder


def tail(stack: Stack, job_id: int, name: str = PLAIN[1]) -> str:
    return (run_folder(stack, job_id) / name).read_text(encoding="utf-8")


def last_line(stack: Stack, generation: int) -> str:
    """The last line on the standard error of one boot."""
    [log] = (stack.folder / "logs").rglob(f"boot-{generation}/stderr.log")
    return log.read_text(encoding="utf-8").strip().splitlines()[-1]


def posts_of(stack: Stack, job_id: int) -> list[dict[str, Any]]:
    """The job's requests that reached the WebUI; extras carry no task id and are not among them."""
    return [line for line in stack.posts() if (line["task_id"] or "").startswith(f"stablenew-{job_id}-")]


def boots(stack: Stack) -> int:
    return len(stack.journal("start"))


def endpoints(stack: Stack) -> list[str]:
    return [line["path"].rpartition("/")[2] for line in stack.posts()]


def tries(job: dict[str, Any]) -> list[tuple[str, int | None, int, str]]:
    """(stage, picture, run, outcome) of every attempt, in order."""
    attempts = job["stage_attempts"]
    return [(one["stage"], one["image_index"], one["run_number"], one["outcome"]) for one in attempts]
