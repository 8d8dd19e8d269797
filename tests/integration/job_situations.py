"""Jobs in every situation that an account tells: each function makes rows and returns the job that is asked about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import Job, Runner
from jobs.queue import control
from jobs.queue.fitness import recompute_lacks
from jobs.queue.moves import move_job
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, store_catalog
from tests.integration.failed_jobs import begin_retry, complete_in_retry, fail_in_retry, tell
from tests.integration.finished_jobs import add_picture, claim, complete, fail
from webui.kinds import WorkKind
from webui.models import Node, NodeState, Wish
from webui.nodes.asking import RUNNER, SETTINGS
from webui.work.catalog import Thing


def alpha(state: NodeState = NodeState.READY, *, node: dict[str, Any] | None = None, **runner: Any) -> Runner:
    """Node alpha and its runner, with these columns."""
    made = make_runner(make_node("alpha", state=state, **(node or {})))
    Runner.objects.filter(pk=made.pk).update(**runner)
    made.refresh_from_db()
    return made


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def no_node() -> Job:
    return make_job()


def no_node_of_its_kind() -> Job:
    alpha()
    Job.objects.filter(pk=(job := make_job()).pk).update(kind=WorkKind.EDIT)
    return job


def lacking() -> Job:
    """No node has its LoRA, which came out after it was queued."""
    node = alpha().node
    job = make_job(revision=make_pack(text="<lora:foo:1>\na keep\nneg: low\n"))
    store_catalog(node, {Thing.LORA: ["bar"]})
    recompute_lacks(node.pk)
    return job


def card_busy() -> Job:
    """Its node is free, and a film runs on the other node of the card."""
    alpha(node={"card": "gpu0"})
    film = make_job()
    Job.objects.filter(pk=film.pk).update(kind=WorkKind.I2V)
    claim(make_runner(make_node("beta", card="gpu0", kind=WorkKind.I2V)))
    return make_job()


def card_not_let_go() -> Job:
    """Its node is free, and the other node of the card may still work at a request that was given up."""
    alpha(node={"card": "gpu0"})
    beta = make_runner(make_node("beta", card="gpu0", kind=WorkKind.I2V))
    Runner.objects.filter(pk=beta.pk).update(must_quiet=True)
    return make_job()


def no_worker() -> Job:
    make_node("alpha")
    return make_job()


def no_worker_anywhere() -> Job:
    make_node("alpha")
    make_node("beta")
    return make_job()


def silent_worker() -> Job:
    alpha(heartbeat_at=ago(60))
    return make_job()


def draining() -> Job:
    alpha(draining=True)
    return make_job()


def next_one() -> Job:
    alpha()
    return make_job()


def behind_two() -> Job:
    alpha()
    make_job()
    make_job(priority=Priority.HIGH)
    return make_job()


def behind_running() -> Job:
    make_running_job(alpha())
    return make_job()


def paused() -> Job:
    alpha()
    control.pause(by="ada", reason="new GPU.")
    return make_job()


def paused_silently() -> Job:
    alpha()
    control.pause(by="ada")
    return make_job()


def starting() -> Job:
    alpha(NodeState.STARTING, node={"state_reason": "Its port does not answer yet."})
    return make_job()


def stopped() -> Job:
    alpha(NodeState.STOPPED)
    return make_job()


def failed_node() -> Job:
    alpha(NodeState.FAILED, node={"state_reason": "It ended with exit status 1."})
    return make_job()


def unreachable() -> Job:
    alpha(NodeState.UNREACHABLE)
    return make_job()


def restart_wished() -> Job:
    alpha(node={"wish": Wish.RESTART, "wish_by": "ada", "wish_reason": "node restart"})
    return make_job()


def restart_wished_by_a_run() -> Job:
    job = make_job()
    reason = f"job {job.pk} failed. The WebUI gave no answer."
    alpha(node={"wish": Wish.RESTART, "wish_by": RUNNER, "wish_reason": reason})
    return job


def restarting_for_a_run() -> Job:
    job = make_job()
    reason = f"Restarting: job {job.pk} failed. The WebUI gave no answer."
    alpha(NodeState.RESTARTING, node={"state_reason": reason})
    return job


def stood_back() -> Job:
    alpha(
        NodeState.STOPPED,
        node={"wish": Wish.STOP, "wish_by": SETTINGS, "wish_reason": "node webui takes this work"},
    )
    return make_job()


def stop_wished() -> Job:
    alpha(node={"wish": Wish.STOP, "wish_by": "ada"})
    return make_job()


def must_quiet() -> Job:
    alpha(must_quiet=True)
    return make_job()


def disk_is_full() -> Job:
    reason = "/data has 0.0 MiB free, and 64.0 MiB are needed for the database."
    alpha(storage_reason=reason, storage_since=ago(30))
    return make_job()


def breaker(until_s: float) -> dict[str, Any]:
    until = timezone.now() + timedelta(seconds=until_s)
    reason = "3 crashes in a row, the last: CUDA error."
    return {"breaker_opened_at": ago(30), "breaker_until": until, "breaker_reason": reason}


def breaker_open() -> Job:
    alpha(**breaker(until_s=60))
    return make_job()


def breaker_due() -> Job:
    alpha(**breaker(until_s=-1))
    return make_job()


def breaker_trying() -> Job:
    make_running_job(alpha(**breaker(until_s=-1)))
    return make_job()


def started_again() -> Job:
    """It is stopped, and somebody has just asked to start it."""
    alpha(NodeState.STOPPED, node={"wish": Wish.RUN, "wish_by": "ada"})
    return make_job()


def two_nodes_down() -> Job:
    alpha(NodeState.FAILED)
    make_runner(make_node("beta"))
    Runner.objects.filter(node__name="beta").update(heartbeat_at=None)
    return make_job()


def two_nodes_held() -> Job:
    alpha(must_quiet=True)
    make_runner(make_node("beta", state=NodeState.STARTING))
    return make_job()


def one_of_two_nodes_held() -> Job:
    alpha(must_quiet=True)
    make_runner(make_node("beta"))
    return make_job()


def retry_waits_for_restart() -> Job:
    runner = alpha()
    make_job()
    claimed = claim(runner)
    begin_retry(claimed)
    move_job(
        claimed.job_id,
        JobStatus.QUEUED,
        event=EventType.REQUEUED,
        run_token=claimed.run_token,
        data={"reason": "the WebUI is not ready again: CUDA error", "charged": False},
    )
    Node.objects.update(state=NodeState.RESTARTING)
    return Job.objects.get()


def worker_lost_once() -> Job:
    alpha()
    job = make_job()
    Job.objects.update(retry_count=1)
    return job


def given_back() -> Job:
    runner = alpha()
    make_job()
    claimed = claim(runner)
    data = {"reason": "drain", "charged": False}
    return move_job(
        claimed.job_id,
        JobStatus.QUEUED,
        event=EventType.REQUEUED,
        run_token=claimed.run_token,
        data=data,
    )


def running() -> Job:
    return make_running_job(alpha())[0]


def running_a_stage() -> Job:
    job, _ = make_running_job(alpha())
    tell(job.pk, EventType.STAGE_STARTED, {"stage": "txt2img", "stage_index": 0, "run_number": 1})
    Job.objects.update(current_stage="txt2img")
    return job


def running_and_cancelled() -> Job:
    job = running()
    control.cancel(job.pk, by="ada")
    return job


def running_without_lease() -> Job:
    job = running()
    Job.objects.update(lease_until=ago(5))
    return job


def waiting_for_restart() -> Job:
    job = running()
    tell(job.pk, EventType.CRASH_SUSPECTED, {"stage": "txt2img", "restart": True})
    Job.objects.update(retry_count=1)
    return job


def crashed_without_restart() -> Job:
    job = running()
    tell(job.pk, EventType.CRASH_SUSPECTED, {"stage": "txt2img", "restart": False})
    Job.objects.update(retry_count=1)
    return job


def in_retry() -> Job:
    job, claimed = make_running_job(alpha())
    begin_retry(claimed)
    return job


def completed() -> Job:
    make_job()
    job = complete(alpha(), pictures=2)
    Job.objects.update(started_at=job.finished_at - timedelta(seconds=37))  # type: ignore[operator]
    return job


def completed_in_retry() -> Job:
    make_job()
    job = complete_in_retry(alpha())
    Job.objects.update(started_at=job.finished_at - timedelta(seconds=3))  # type: ignore[operator]
    return job


def refused() -> Job:
    make_job()
    return fail(alpha())


def failed_again() -> Job:
    make_job()
    return fail_in_retry(alpha())


def cancelled_in_time() -> Job:
    job = make_job()
    control.cancel(job.pk, by="ada")
    return job


def cancelled_while_it_ran() -> Job:
    job, claimed = make_running_job(alpha())
    add_picture(claimed)
    return move_job(
        job.pk,
        JobStatus.CANCELLED,
        event=EventType.CANCELLED,
        run_token=claimed.run_token,
        data={"by": "ada"},
    )
