"""A request that nobody waits for any more may still be generating: its node takes no job until that is over."""

from __future__ import annotations

from jobs.models import Job, Runner, StageAttempt
from jobs.records.reading import read_record
from jobs.running.requests import samples


def require_quiet(runner_id: int, job: Job, last: StageAttempt) -> None:
    """No claim on this node until the request of that attempt is over (`jobs.supervising.leftover_request`).

    In the caller's transaction. What cannot be interrupted nor seen, as an upscale by extras, is not waited for.
    """
    stages = read_record(job.record.canonical_json).enabled_stages
    if any(samples(stage) for stage in stages if stage.stage == last.stage):
        Runner.objects.filter(pk=runner_id).update(
            must_quiet=True, quiet_since=None, suspect_task_id=last.task_id
        )
