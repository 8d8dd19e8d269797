"""How long a request, a job and its task may last, by the kind of work: films and edits take longer than pictures."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from webui.kinds import WorkKind
from webui.work.limits import LIMITS


def request_deadline_s(kind: str) -> float:
    """Of the answer to one request of this kind of work."""
    longest: float = (
        settings.STABLENEW_FILM_DEADLINE_S if kind in LIMITS else settings.STABLENEW_STAGE_DEADLINE_S
    )
    return longest


def job_deadline_s(kind: str) -> float:
    """Of one run of a job. A film or an edit is one request, its retry, and the start of a worker between them."""
    pictures: float = settings.STABLENEW_JOB_DEADLINE_S
    if kind not in LIMITS:
        return pictures
    return 2 * request_deadline_s(kind) + float(settings.STABLENEW_READY_TIMEOUT_S)


def task_timeout_s(kind: str) -> int:
    """The engine's backstop, as far above the job's deadline as that of pictures is."""
    engine: dict[str, Any] = settings.Q_CLUSTER
    margin_s = float(engine["timeout"]) - job_deadline_s(WorkKind.IMAGE)
    return round(job_deadline_s(kind) + margin_s)
