"""A film through a worker's HTTP, a keeper and each fault: how it ends, what it costs, how often it was executed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from jobs.lifecycle import JobStatus, TruthVerdict
from jobs.models import Job, Runner
from jobs.queue.claims import claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.records.reading import read_record
from jobs.running.attempts import start_attempt
from jobs.running.requests import units_of, work_of
from jobs.running.run import run_one
from jobs.supervising.reconcile import reconcile
from tests.factories import submit
from tests.film_jobs import make_film_pack
from tests.keepers import KeeperStand, journal_lines
from webui.drivers.diffsynth.driver import DRIVER
from webui.drivers.diffsynth.server import DiffSynthServer
from webui.models import Node, NodeState, Wish
from webui.nodes.connecting import connect

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def worker_of(stand: KeeperStand, *faults: str, kind: str = "i2v", step_s: float = 0.02) -> Runner:
    """A ready worker with these faults, and one job that waits for it."""
    words = ["--kind", kind, "--seconds-per-step", str(step_s), "--load-seconds", "0"]
    words += ["--journal", str(stand.folder / "journal.jsonl")]
    for fault in faults:
        words += ["--fault", fault]
    if any("hang" in fault for fault in faults):
        # Others are not to be called a hang because the machine is busy.
        stand.settings.STABLENEW_HANG_STEP_S = stand.settings.STABLENEW_HANG_PHASE_S = 2.0
    node = stand.simulator(*words, driver="diffsynth", kind=kind)
    stand.start_until_ready(node)
    submit(make_film_pack("films", kind))
    return Runner.objects.create(node=node)


def made_with(stand: KeeperStand, *faults: str, kind: str = "i2v") -> tuple[Job, Node]:
    """One job through a worker with these faults, to its end."""
    runner = worker_of(stand, *faults, kind=kind)
    assert run_one(runner.pk)
    node = runner.node
    node.refresh_from_db()
    stand.seen(node)
    return Job.objects.get(), node


ONCE_MORE_WITHOUT_A_RESTART = ["frozen", "flat", "torn", "wrong-size", "wrong-frames", "wrong-rate"]
ONCE_MORE_AFTER_A_RESTART = [
    *(f"die-{phase}" for phase in ("prepare", "encode", "denoise", "decode", "save")),
    *(f"oom-{phase}" for phase in ("encode", "denoise", "decode")),
    "hang-denoise",
    "hang-decode",
    "failed",
    "drop",
    "drop-poll",
    "forget",
    "truncated",
]
NO_LOSS = ["once drop", "once drop-poll", "once drop-result", "busy", "missing-input"]


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_a_job_is_made(stand: KeeperStand, kind: str) -> None:
    job, node = made_with(stand, kind=kind)

    assert (job.status, job.truth, job.retry_count, node.generation) == (
        JobStatus.COMPLETED,
        TruthVerdict.VERIFIED,
        0,
        1,
    )
    (row,) = job.results
    assert (row.is_film, row.frames) == ((True, 9) if kind == "i2v" else (False, None))


@pytest.mark.parametrize("fault", ONCE_MORE_WITHOUT_A_RESTART)
def test_a_bad_film_is_made_once_more_by_the_same_worker(stand: KeeperStand, fault: str) -> None:
    job, node = made_with(stand, f"{fault}@1")

    assert (job.status, job.retry_count, node.generation) == (JobStatus.COMPLETED, 1, 1)


@pytest.mark.parametrize("fault", ONCE_MORE_AFTER_A_RESTART)
def test_a_worker_that_fails_is_started_anew_and_makes_it(stand: KeeperStand, fault: str) -> None:
    job, node = made_with(stand, f"{fault}@1")

    assert (job.status, job.retry_count, node.generation) == (JobStatus.COMPLETED, 1, 2)


@pytest.mark.parametrize("fault", NO_LOSS)
def test_what_the_worker_is_asked_again_costs_nothing(stand: KeeperStand, fault: str) -> None:
    job, node = made_with(stand, f"{fault}@1")

    assert (job.status, job.retry_count, node.generation) == (JobStatus.COMPLETED, 0, 1)


@pytest.mark.parametrize("fault", ["frozen", "die-decode", "oom", "wrong-frames"])
def test_the_second_failure_is_the_last(stand: KeeperStand, fault: str) -> None:
    job, _ = made_with(stand, f"{fault}@*")

    assert (job.status, job.retry_count) == (JobStatus.FAILED, 1)


@pytest.mark.parametrize("fault", ["oom", "failed", "die-decode", "hang-decode"])
def test_no_job_is_sent_to_what_the_second_failure_left(stand: KeeperStand, fault: str) -> None:
    """A worker without memory ends a moment after it has said so: the next job would meet that."""
    runner = worker_of(stand, f"{fault}@1-2")
    submit(make_film_pack("next", "i2v"))
    assert run_one(runner.pk)
    node = runner.node
    node.refresh_from_db()
    assert (node.wish, node.wish_generation) == (Wish.RESTART, 2) or node.generation == 3
    stand.wait(node, NodeState.READY, where=lambda node: node.generation == 3)
    assert run_one(runner.pk)

    first, second = Job.objects.order_by("id")
    assert (first.status, second.status, second.retry_count) == (JobStatus.FAILED, JobStatus.COMPLETED, 0)


@pytest.mark.parametrize(("card", "is_held"), [("gpu0", True), ("", False)])
def test_a_worker_that_hangs_to_the_end_holds_a_shared_card(
    stand: KeeperStand, card: str, is_held: bool
) -> None:
    """Until its process is ended: the other node of the card would work beside it."""
    runner = worker_of(stand, "hang@*")
    Node.objects.filter(pk=runner.node_id).update(card=card)
    assert run_one(runner.pk)
    runner.refresh_from_db()

    assert (Job.objects.get().status, runner.must_quiet) == (JobStatus.FAILED, is_held)


@pytest.mark.parametrize(
    ("fault", "code"), [("refused", "WEBUI_REQUEST_INVALID"), ("input", "WEBUI_INVALID_IMAGE")]
)
def test_what_the_worker_refuses_fails_at_once(stand: KeeperStand, fault: str, code: str) -> None:
    job, node = made_with(stand, f"{fault}@1")

    assert (job.status, job.error_code, job.retry_count, node.generation) == (JobStatus.FAILED, code, 0, 1)


def test_another_seed_than_was_asked_for_is_marked(stand: KeeperStand) -> None:
    job, _ = made_with(stand, "wrong-seed@1")

    assert (job.status, job.truth, job.retry_count) == (JobStatus.COMPLETED, TruthVerdict.DRIFTED, 0)


# --- a process of ours is lost ---------------------------------------------------------------------------


def sent_by_a_process_that_is_lost(runner: Runner) -> str:
    """The id of a request that the worker has taken, and whose sender is gone."""
    claim = claim_next(runner.pk, ProcessIdentity.of_self())
    assert claim is not None
    record = read_record(claim.job.record.canonical_json)
    (unit,) = units_of(record)[0]
    task_id = f"stablenew-{claim.job_id}-0-0-{claim.run_token.hex[:8]}"
    start_attempt(claim, unit, run_number=1, task_id=task_id, announce=True)
    request = DRIVER.request(work_of(record, unit, lambda stage, image: b"", task_id=task_id))
    server = connect(claim.node)
    assert isinstance(server, DiffSynthServer)
    server.client.put_input(request.body["inputs"][0], request.uploads[0])
    server.client.post_job({"id": task_id, **request.body})
    return task_id


def begun(stand: KeeperStand) -> list[object]:
    lines = journal_lines(stand.folder / "journal.jsonl")
    return [line["task_id"] for line in lines if line["event"] == "begin"]


@pytest.mark.parametrize("step_s", [0.02, 0.5], ids=["done", "running"])
def test_a_film_outlives_the_process_that_had_asked_for_it(stand: KeeperStand, step_s: float) -> None:
    runner = worker_of(stand, step_s=step_s)
    task_id = sent_by_a_process_that_is_lost(runner)

    assert reconcile(runner, lambda owner: False) == 1
    assert run_one(runner.pk)
    job = Job.objects.get()
    assert (job.status, job.retry_count, begun(stand)) == (JobStatus.COMPLETED, 0, [task_id])


def test_a_film_that_dies_with_its_worker_costs_the_retry(stand: KeeperStand) -> None:
    runner = worker_of(stand, "die-denoise@1", step_s=0.1)
    sent_by_a_process_that_is_lost(runner)
    stand.wait(runner.node, NodeState.READY, where=lambda node: node.generation == 2)
    runner = Runner.objects.select_related("node").get(pk=runner.pk)

    assert reconcile(runner, lambda owner: False) == 1
    job = Job.objects.get()
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 1)
    Runner.objects.filter(pk=runner.pk).update(must_quiet=False)
    assert run_one(runner.pk)
    job.refresh_from_db()
    assert (job.status, len(begun(stand))) == (JobStatus.COMPLETED, 2)
