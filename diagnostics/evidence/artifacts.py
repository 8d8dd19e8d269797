"""Files that a failure left beside the pictures: which ones the database names, and where they are.

Only what a row names has an address; writing them belongs to `webui.evidence.failure_artifacts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.lifecycle import EventType
from jobs.models import Job, LifecycleEvent, StageAttempt
from jobs.running.outputs import file_of

#: What the files hold, for people who see only a name.
CONTENTS = {
    "stage_failure_payload.json": "the request, every text replaced by its length and hash",
    "webui_tail.log": "the last lines that the server (WebUI or worker) wrote",
    "worker_tail.log": "the last lines of the runner, our own process that ran the job, when it was lost",
}
#: Folder of the first failure's files; the newest failure has the plain names.
FIRST_FAILURE = "attempt-1"


class ArtifactError(LookupError):
    """There is no such file to hand out; the message says why."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of evidence; `path` is relative to the output root."""

    job_id: int
    path: str

    @property
    def name(self) -> str:
        """Its path within the run directory of the job."""
        _, found, within = self.path.rpartition(f"/{self.job_id}/")
        return within if found else self.path

    @property
    def contents(self) -> str:
        """What is in it, for people; empty when unknown."""
        words = CONTENTS.get(Path(self.path).name, "")
        of_first = Path(self.path).parent.name == FIRST_FAILURE
        return f"{words}, at the first failure" if words and of_first else words

    @property
    def size_bytes(self) -> int | None:
        """None when the file is gone, or is no file of the output folder."""
        try:
            return self.file().stat().st_size
        except (ArtifactError, OSError):
            return None

    def file(self) -> Path:
        """The file itself, links resolved; ArtifactError when it is gone or lies outside the output folder."""
        file = file_of(self.path)
        if file is None or not file.is_file():
            raise ArtifactError(
                f"The file {self.name} of job {self.job_id} is gone: it was moved or deleted on disk."
            )
        return file


def artifacts_of(job_id: int) -> tuple[Artifact, ...]:
    """What envelope, attempts and events of a job name, each once, the envelope's first; three queries."""
    return tuple(Artifact(job_id, path) for path in dict.fromkeys(_paths(job_id)))


def find_artifact(job_id: int, path: str) -> Artifact:
    """The artifact with this very path; ArtifactError when no row of the job names it."""
    for artifact in artifacts_of(job_id):
        if artifact.path == path:
            return artifact
    raise ArtifactError(f"Job {job_id} has no file of evidence with this name.")


def _paths(job_id: int) -> Iterator[str]:
    for error in Job.objects.filter(pk=job_id).values_list("error", flat=True):
        yield from (error or {}).get("artifact_paths", ())
    attempts = StageAttempt.objects.filter(job_id=job_id).order_by("-id")
    for paths in attempts.values_list("artifact_paths", flat=True):
        yield from paths
    # Of a worker that was lost before it sent anything, only the event tells.
    for data in LifecycleEvent.objects.filter(job_id=job_id, event_type=EventType.REQUEUED).values_list(
        "data", flat=True
    ):
        yield from data.get("artifacts") or ()
