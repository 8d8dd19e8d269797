"""Errors of the domain:

JobsError
├── IllegalTransitionError   the table of moves does not allow it
├── FencedError              somebody else took the run over
├── NotFoundError            no such job, pack or revision
├── RefusedError             the request is refused; `problems` says why, one entry per record or pack
└── ConflictError            an idempotency key was used for something else
"""

from __future__ import annotations

from collections.abc import Sequence

from webui.values import FrozenValue


class RecordProblem(FrozenValue):
    """Why something cannot be submitted. `row` counts from 1; `field` is a setting's path or a token."""

    code: str
    message: str
    pack: str = ""
    row: int | None = None
    field: str = ""


class JobsError(Exception):
    """Something in the queue is not as asked."""


class IllegalTransitionError(JobsError):
    """A job cannot move that way; the attempt is kept as an ILLEGAL_TRANSITION event."""

    def __init__(self, job_id: int, from_status: str, to_status: str) -> None:
        super().__init__(f"Job {job_id} is {from_status} and cannot become {to_status}.")
        self.job_id = job_id
        self.from_status = from_status
        self.to_status = to_status


class FencedError(JobsError):
    """This run no longer owns its job: it must stop at once and write nothing more."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"Job {job_id} was taken over by another run; this one stops.")
        self.job_id = job_id


class NotFoundError(JobsError):
    """Nothing has that name or number."""


class ConflictError(JobsError):
    """The same idempotency key came with another request."""


class RefusedError(JobsError):
    """Nothing was queued; `problems` names every reason."""

    def __init__(self, problems: Sequence[RecordProblem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0].message if self.problems else "refused"
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"Nothing was queued: {first}{more}")


class CancelledRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """A person cancelled the job."""

    def __init__(self, by: str) -> None:
        super().__init__(f"cancelled by {by}")
        self.by = by


class DrainedRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """An operator wants the node: the job goes back to the head of the queue, uncharged."""


class NodeLostRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """The WebUI does not come back: the job waits at the head of the queue with its retry granted."""


class KeptPictureChanged(Exception):  # noqa: N818 - a way for a run to begin again, no error
    """An accepted picture is missing or no longer the file that was accepted."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the kept picture {path} is missing or changed")
        self.path = path
