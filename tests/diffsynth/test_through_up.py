"""Films and edits through a whole installation: `up` starts and keeps the real workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.diffsynth.installation import RealWorkers
from tests.e2e.household import (
    assert_every_process_is_known,
    engine_of,
    kill,
    living,
    main_of,
    start_up,
    worker_of,
)
from tests.e2e.processes import kill_webui, standing_still
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.diffsynth, pytest.mark.stack, pytest.mark.timeout(900)]

KINDS = pytest.mark.parametrize("kind", ["i2v", "edit"])
PHASES = ("encode", "denoise", "decode", "save")


@pytest.fixture
def workers(stack: Stack, weights: Path) -> Iterator[RealWorkers]:
    workers = RealWorkers(stack, weights)
    yield workers
    workers.holds.release()


def test_folders_of_pictures_become_films_and_edits_and_one_card_draws_one_at_a_time(
    stack: Stack, workers: RealWorkers
) -> None:
    workers.add("films", "i2v", card="gpu0")
    workers.add("edits", "edit", card="gpu0")
    start_up(stack)
    stack.wait_ready("films")
    stack.wait_ready("edits")
    stack.manage("queue", "pause")
    films, edits = workers.submit("i2v", 4), workers.submit("edit", 4)
    stack.manage("queue", "resume")
    for job_id in films + edits:
        workers.wait_completed(job_id)
    assert stack.job(films[0])["outputs"][0]["path"].endswith(".mp4")
    drawn = list(workers.stretches())
    assert len(drawn) == 8
    assert {pid for pid, _ in drawn} == {workers.pid("films"), workers.pid("edits")}
    assert [others for _, others in drawn] == [0] * 8
    assert workers.overlapping_attempts() == []


@KINDS
def test_each_death_of_a_worker_costs_its_job_one_retry(
    stack: Stack, workers: RealWorkers, kind: str
) -> None:
    workers.add("node", kind)
    workers.holds.hold("load")
    start_up(stack)
    workers.wait_held("load")
    [job_id] = workers.submit(kind)
    workers.kill("node")
    job = workers.wait_completed(job_id)
    assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["completed"]
    for number, phase in enumerate(PHASES, 3):
        [job_id] = workers.submit_held(phase, kind)
        workers.kill("node")
        job = workers.wait_completed(job_id, retries=1)
        assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["unavailable", "completed"]
        workers.assert_evidence(job)
        assert workers.boots("node") == number
    assert_every_process_is_known(stack)


def test_a_worker_that_dies_again_while_it_loads_costs_the_job_no_more(
    stack: Stack, workers: RealWorkers
) -> None:
    workers.start("films", "i2v")
    workers.holds.hold("denoise", "load")
    [job_id, behind] = workers.submit("i2v", 2)
    workers.wait_held("denoise")
    kill_webui(stack, workers.pid("films"))
    workers.wait_held("load")
    workers.kill("films")
    workers.assert_evidence(workers.wait_completed(job_id, retries=1))
    workers.wait_completed(behind)
    assert_every_process_is_known(stack)


@KINDS
def test_each_death_of_our_own_that_leaves_the_worker_alone_costs_nothing(
    stack: Stack, workers: RealWorkers, kind: str
) -> None:
    """The next process asks the worker for the job by its id, waits for it, and takes its result."""
    workers.start("node", kind)
    for phase in PHASES:
        [job_id] = workers.submit_held(phase, kind)
        kill(worker_of(stack))
        workers.wait_taken_up(job_id)
        workers.holds.release()
        job = workers.wait_completed(job_id)
        assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["lost", "completed"]
    assert workers.boots("node") == 1
    assert len(list(workers.stretches())) == 4
    assert_every_process_is_known(stack)


def test_a_film_that_was_finished_while_nobody_of_ours_lived_is_taken_and_not_drawn_again(
    stack: Stack, workers: RealWorkers
) -> None:
    workers.start("films", "i2v")
    [job_id] = workers.submit_held("decode", "i2v")
    asked = f"SELECT task_id FROM jobs_stageattempt WHERE job_id = {job_id}"  # noqa: S608
    [(task_id,)] = stack.sql(asked)
    with standing_still(stack, main_of(stack, "films")):
        kill(worker_of(stack))
        workers.holds.release()
        stack.wait_until(lambda: workers.fate_of("films", task_id) == "DONE", "the film is finished")
        assert stack.job(job_id)["status"] == "RUNNING"
    workers.wait_completed(job_id)
    assert len(list(workers.stretches())) == 1


@pytest.mark.parametrize("phase", ["load", "denoise", "save"])
def test_the_death_of_all_of_run_node_takes_the_worker_along_and_costs_one_retry(
    stack: Stack, workers: RealWorkers, phase: str
) -> None:
    workers.add("films", "i2v")
    workers.holds.hold(phase)
    start_up(stack)
    [job_id] = workers.submit("i2v")
    workers.wait_held(phase)
    before = psutil.Process(workers.pid("films"))
    main = main_of(stack, "films")
    kill(main.pid, *(process.pid for process in engine_of(main).values()))
    stack.wait_until(lambda: not living([before]), "its worker left with it")
    workers.holds.release()
    workers.wait_completed(job_id, retries=0 if phase == "load" else 1)
    assert_every_process_is_known(stack)


@KINDS
def test_a_cancelled_job_ends_in_every_phase_is_charged_to_nobody_and_the_next_one_runs(
    stack: Stack, workers: RealWorkers, kind: str
) -> None:
    """A phase that does not end within the grace is ended by a restart of the worker."""
    stack.env["STABLENEW_CANCEL_GRACE_S"] = "1"
    workers.add("node", kind)
    workers.holds.hold("load")
    start_up(stack)
    workers.wait_held("load")
    [waiting] = workers.submit(kind)
    assert stack.manage("jobs", "cancel", waiting)["jobs"][0]["result"] == "cancelled"
    workers.holds.release()
    for phase in PHASES:
        stack.wait_ready("node")
        [job_id, behind] = workers.submit_held(phase, kind, 2)
        assert stack.manage("jobs", "cancel", job_id)["jobs"][0]["result"] == "requested"
        job = stack.wait_job(job_id, "CANCELLED", "COMPLETED", "FAILED")
        assert (job["status"], job["retry_count"]) == ("CANCELLED", 0), job
        assert [attempt["outcome"] for attempt in job["stage_attempts"]] == ["cancelled"]
        workers.holds.release()
        assert workers.wait_completed(behind)["operator_requeues"] == 0
    assert workers.boots("node") == 5
    assert stack.sql("SELECT sum(crash_failures) FROM jobs_runner") == [(0,)]
    assert_every_process_is_known(stack)


@KINDS
def test_a_job_that_is_cancelled_between_two_steps_leaves_its_worker_as_it_is(
    stack: Stack, workers: RealWorkers, kind: str
) -> None:
    workers.start("node", kind)
    [job_id, behind] = workers.submit_held("denoise", kind, 2)
    stack.manage("jobs", "cancel", job_id)
    workers.wait_cancel_heard("node")
    workers.holds.release()
    assert stack.wait_job(job_id, "CANCELLED", "COMPLETED", "FAILED")["retry_count"] == 0
    assert stack.job(job_id)["status"] == "CANCELLED"
    workers.wait_completed(behind)
    assert workers.boots("node") == 1


def test_two_workers_take_turns(stack: Stack, workers: RealWorkers) -> None:
    workers.add("alpha", "i2v")
    workers.add("beta", "i2v")
    start_up(stack)
    stack.wait_ready("alpha")
    stack.wait_ready("beta")
    for number in range(1, 7):
        workers.submit("i2v")
        stack.wait_ledger(completed=number, queued=0, running=0)
    first, second = workers.ran_on()[:2]
    assert {first, second} == {"alpha", "beta"}
    assert workers.ran_on() == [first, second] * 3
    for job_id in workers.submit("i2v", 12):
        workers.wait_completed(job_id)
    ran = Counter(workers.ran_on()[6:])
    assert min(ran["alpha"], ran["beta"]) >= 4, ran
