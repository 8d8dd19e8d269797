"""Real runs of claimed jobs between a scripted WebUI and a scripted keeper, and what they wrote."""

from __future__ import annotations

from typing import Any

from jobs.lifecycle import EventType
from jobs.models import Job, Runner
from jobs.queue.claims import Claim, claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.running.run import Run
from tests.factories import make_node, make_pack, make_runner, make_running_job
from tests.integration.scripted_webui import Act, ScriptedKeeper, ScriptedWebUI
from webui.recovery.hooks import RestartAndWait

TWO_PICTURES = '{"preset_data": {"pipeline": {"images_per_prompt": 2}}}'


def started(*script: Act, **node: Any) -> tuple[Claim, ScriptedWebUI, ScriptedKeeper]:
    """A claimed job of two pictures, and the WebUI and keeper that it meets."""
    _, claim = make_running_job(make_runner(make_node(**node)), revision=make_pack(document=TWO_PICTURES))
    webui = ScriptedWebUI(*script)
    return claim, webui, ScriptedKeeper(webui)


def execute(claim: Claim, webui: ScriptedWebUI, keeper: RestartAndWait) -> Job:
    """Run the claimed job to its end, its policy's waits passed over; the row afterwards."""
    Run(claim, connect=webui.connect, restart=keeper, sleep=lambda seconds: None).execute()
    return Job.objects.select_related("record").get(pk=claim.job_id)


def claim_again(claim: Claim) -> Claim:
    """The same job for the same node: it stands at the head, and the node is quiet again."""
    Runner.objects.filter(pk=claim.runner_id).update(must_quiet=False)
    again = claim_next(claim.runner_id, ProcessIdentity.of_self())
    assert again is not None
    assert again.job_id == claim.job_id
    return again


def events(job: Job) -> list[str]:
    """Since the first claim."""
    kinds = list(job.events.order_by("sequence").values_list("event_type", flat=True))
    return kinds[kinds.index(EventType.RUNNING) + 1 :]


def outcomes(job: Job) -> list[str]:
    """Of its attempts, in order."""
    return list(job.attempts.order_by("id").values_list("outcome", flat=True))
