"""Runs of films and edits: what is accepted, what costs the one retry, what goes on although our process is gone."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image
from pytest_django import Settings

from jobs.clock import database_now
from jobs.films import read_film
from jobs.inputs.store import path_of
from jobs.lifecycle import EventType, JobStatus, TruthVerdict
from jobs.models import AttemptOutcome, HistoryEntry, Job, OutputImage, Runner, StageAttempt
from jobs.queue import storage
from jobs.queue.claims import Claim, claim_next
from jobs.queue.control import cancel
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import fence
from jobs.records.reading import read_record
from jobs.running import afterlife
from jobs.running.attempts import start_attempt
from jobs.running.outputs import output_root
from jobs.running.recheck import recheck
from jobs.running.requests import units_of, work_of
from jobs.supervising import reconcile as reconciling
from jobs.supervising.reconcile import reconcile
from tests.factories import make_runner
from tests.film_jobs import input_picture, make_film_node, make_running_film
from tests.integration import scripted_worker as worker_acts
from tests.integration.film_runs import WorkerKeeper, run, run_film
from tests.integration.scripted_runs import outcomes
from tests.integration.scripted_webui import ScriptedKeeper
from tests.integration.scripted_worker import Act, ScriptedWorker
from webui.drivers.diffsynth.driver import DRIVER
from webui.errors import WebUIConnectionLostError
from webui.models import Node, Wish
from webui.work.told import Patience, Progress
from webui.work.unit import Request

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"


# --- what is accepted ----------------------------------------------------------------------------------


def test_a_film_becomes_a_result_with_its_facts_and_its_poster() -> None:
    job, worker, _ = run_film()

    assert (job.status, job.truth) == (JobStatus.COMPLETED, TruthVerdict.VERIFIED)
    (row,) = job.results
    assert row.path.endswith("/1-i2v-000-run1.mp4")
    assert (row.is_film, row.media_type) == (True, "video/mp4")
    assert (row.width_px, row.height_px, row.frames, row.fps, row.duration_s) == (64, 64, 9, 16.0, 0.562)
    assert row.seed == read_record(job.record.canonical_json).seed
    film = (output_root() / row.path).read_bytes()
    assert read_film(film).faststart
    with Image.open(output_root() / row.poster_path) as poster:
        assert (poster.format, poster.size) == ("JPEG", (64, 64))
    assert sorted(file.name for file in (output_root() / row.path).parent.iterdir()) == [
        "1-i2v-000-run1-poster.jpg",
        "1-i2v-000-run1.mp4",
        "manifest.json",
    ]
    assert worker.posts[0].uploads == (input_picture(1),)


def test_its_manifest_and_history_name_the_film() -> None:
    job, _, _ = run_film()

    (row,) = job.results
    manifest = json.loads((output_root() / row.path).with_name("manifest.json").read_text())
    (told,) = manifest["outputs"]
    facts = {name: told[name] for name in ("file", "frames", "fps", "duration_s", "poster", "sha256")}
    assert facts == {
        "file": "1-i2v-000-run1.mp4",
        "frames": 9,
        "fps": 16.0,
        "duration_s": 0.562,
        "poster": "1-i2v-000-run1-poster.jpg",
        "sha256": row.sha256,
    }
    assert HistoryEntry.objects.get(job=job).output_paths == [row.path]


def test_an_edit_is_a_picture_like_all_others() -> None:
    job, _, _ = run_film(kind="edit")

    assert (job.status, job.truth) == (JobStatus.COMPLETED, TruthVerdict.VERIFIED)
    (row,) = job.results
    assert row.path.endswith("/1-edit-000-run1.png")
    assert (row.is_film, row.poster_path, row.frames) == (False, "", None)


def test_an_edit_that_returns_its_input_is_kept_and_marked() -> None:
    job, worker, _ = run_film(worker_acts.unchanged, kind="edit")

    assert (job.status, job.truth, len(worker.executed)) == (JobStatus.COMPLETED, TruthVerdict.DRIFTED, 1)
    (event,) = job.events.filter(event_type=EventType.COMPLETED)
    assert [drift["field"] for drift in event.data["drifts"]] == ["Changed"]


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_the_result_of_another_job_is_marked(kind: str) -> None:
    _, claim = make_running_film(kind, name="first")
    run(claim, ScriptedWorker())
    # The same seed and picture, other words; a worker of its own begins with the same result.
    _, other = make_running_film(kind, runner=claim.runner, name="other", prompts=("a door opens",))
    job = run(other, ScriptedWorker())

    assert (job.status, job.truth, job.retry_count) == (JobStatus.COMPLETED, TruthVerdict.DRIFTED, 0)
    (event,) = job.events.filter(event_type=EventType.COMPLETED)
    assert [drift["field"] for drift in event.data["drifts"]] == ["Distinct"]


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_a_result_can_be_judged_again(kind: str) -> None:
    job, _, _ = run_film(kind=kind)
    again = recheck(job.pk)

    assert again is not None
    assert (again.before, again.judged, again.left_out) == (TruthVerdict.VERIFIED, 1, 0)


# --- what costs the one retry, without a restart ---------------------------------------------------------

BAD_FILMS = [
    (worker_acts.frozen, "Motion"),
    (worker_acts.flat, "the film is of one colour"),
    (worker_acts.short, "asked for 9, got 5"),
    (worker_acts.slow, "asked for 16 fps, got 8 fps"),
    (worker_acts.narrow, "48 x 64 pixels instead of 64 x 64"),
    (worker_acts.torn, "cut off"),
    (worker_acts.nothing, "something else than a film"),
    (worker_acts.a_picture, "something else than a film"),
]


@pytest.mark.parametrize(("act", "words"), BAD_FILMS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_film_that_is_not_what_was_asked_for_is_made_once_more(act: Act, words: str) -> None:
    job, worker, keeper = run_film(act)

    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 1)
    assert outcomes(job) == [AttemptOutcome.BAD_ANSWER, AttemptOutcome.COMPLETED]
    assert words in job.attempts.order_by("id")[0].reason
    assert keeper.generations == []
    # The worker would give the film of before for the same id.
    assert worker.executed[1] == f"{worker.executed[0]}.2"
    assert worker.posts[0].sha256 == worker.posts[1].sha256
    (row,) = job.results
    assert row.path.endswith("/1-i2v-000-run2.mp4")


@pytest.mark.parametrize(("act", "words"), BAD_FILMS, ids=lambda value: getattr(value, "__name__", ""))
def test_twice_such_a_film_fails_the_job(act: Act, words: str) -> None:
    job, worker, _ = run_film(act, act)

    assert (job.status, len(worker.executed)) == (JobStatus.FAILED, 2)
    assert job.error is not None
    assert words in job.error["message"]
    assert not OutputImage.objects.exists()
    names = [file.name for file in (output_root() / f"{job.started_at:%Y-%m-%d}" / str(job.pk)).glob("*.mp4")]
    assert all(name.startswith("partial-") for name in names)


@pytest.mark.parametrize("act", [worker_acts.narrow, worker_acts.flat, worker_acts.torn])
def test_an_edit_that_cannot_be_used_is_made_once_more(act: Act) -> None:
    job, _, keeper = run_film(act, kind="edit")

    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 1, [])


# --- what costs a restart and the one retry --------------------------------------------------------------


@pytest.mark.parametrize("act", [worker_acts.out_of_memory, worker_acts.dies])
def test_a_worker_that_ends_is_started_anew_for_the_one_retry(act: Act) -> None:
    job, worker, keeper = run_film(act)

    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 1, [1])
    assert len(worker.executed) == 2


def test_a_worker_that_stands_still_is_started_anew(settings: Settings) -> None:
    settings.STABLENEW_HANG_STEP_S = 0.1
    job, _, keeper = run_film(worker_acts.stands_still)

    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 1, [1])


def test_an_answer_that_was_lost_is_asked_for_again_and_not_made_again() -> None:
    _, claim = make_running_film()
    worker = ScriptedWorker(worker_acts.answer_lost)
    # Nobody could restart it: it is the same boot that is asked again.
    job = run(claim, worker, ScriptedKeeper(worker))  # type: ignore[arg-type]

    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 1)
    assert [post.task_id for post in worker.posts] == [worker.executed[0]] * 2
    assert len(worker.executed) == 1


# --- input pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["gone", "other"])
def test_an_input_picture_that_is_not_what_it_was_fails_the_job(change: str) -> None:
    job, claim = make_running_film()
    file = path_of(json.loads(job.record.canonical_json)["inputs"][0]["sha256"])
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes(input_picture(9))
    worker = ScriptedWorker()
    job = run(claim, worker)

    assert (job.status, job.error_code, worker.posts) == (JobStatus.FAILED, "RECORD_CHANGED", [])
    assert job.error is not None
    assert "1.png" in job.error["message"]


def test_where_the_folder_of_inputs_is_gone_the_job_waits() -> None:
    job, claim = make_running_film()
    sha256 = json.loads(job.record.canonical_json)["inputs"][0]["sha256"]
    folder = path_of(sha256).parent.parent
    folder.rename(folder.with_name("elsewhere"))
    job = run(claim, ScriptedWorker())

    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 0)
    assert str(folder) in Runner.objects.get(pk=claim.runner_id).storage_reason
    assert str(folder) in storage.trouble(job)


# --- cancel ----------------------------------------------------------------------------------------------


def cancelling(job_id: int, act: Act) -> Act:
    """`act`, after somebody has cancelled the job."""

    def both(worker: ScriptedWorker, request: Request) -> bytes:
        cancel(job_id, by="ann")
        return act(worker, request)

    return both


def deaf_until_restarted(worker: ScriptedWorker, request: Request) -> bytes:
    """It decodes, where no cancel is heard; the restart that is wished for ends it."""
    worker.state = Progress(idle=False, fingerprint=("decode", 0), patience=Patience.PHASE)
    while Node.objects.get().wish != Wish.RESTART:
        time.sleep(0.02)
    raise WebUIConnectionLostError("Connection reset by peer")


def test_a_cancel_ends_the_film_at_its_next_step() -> None:
    job, claim = make_running_film()
    worker = ScriptedWorker(cancelling(job.pk, worker_acts.until_stopped))
    job = run(claim, worker)

    assert (job.status, job.retry_count) == (JobStatus.CANCELLED, 0)
    assert worker.cancelled == [worker.executed[0]]
    assert outcomes(job) == [AttemptOutcome.CANCELLED]


def test_a_cancel_in_a_phase_without_steps_ends_it_by_a_restart(settings: Settings) -> None:
    settings.STABLENEW_CANCEL_GRACE_S = 0
    job, claim = make_running_film()
    worker = ScriptedWorker(cancelling(job.pk, deaf_until_restarted))
    job = run(claim, worker)

    assert (job.status, job.retry_count) == (JobStatus.CANCELLED, 0)
    assert Runner.objects.get().crash_failures == 0


# --- a process of ours is lost, and the worker goes on ----------------------------------------------------


def dead(owner: ProcessIdentity) -> bool:
    return False


def lost_in(
    act: Act, monkeypatch: pytest.MonkeyPatch, *, gone: bool = False
) -> tuple[Job, ScriptedWorker, Runner]:
    """A job whose process is lost in the middle of its request, which the worker goes on with unless it is `gone`."""
    job, claim = make_running_film()
    (unit,) = units_of(read_record(job.record.canonical_json))[0]
    task_id = f"stablenew-{job.pk}-0-0-{claim.run_token.hex[:8]}"
    start_attempt(claim, unit, run_number=1, task_id=task_id, announce=True)
    worker = ScriptedWorker()
    monkeypatch.setattr(afterlife, "connect", lambda node, timeouts: worker)
    if not gone:
        request = DRIVER.request(
            work_of(read_record(job.record.canonical_json), unit, no_picture, task_id=task_id)
        )
        worker.executed.append(task_id)
        worker.results[task_id] = act(worker, request)
    runner = Runner.objects.get(pk=claim.runner_id)
    assert reconcile(runner, dead) == 1
    runner.refresh_from_db()
    return Job.objects.select_related("record").get(pk=job.pk), worker, runner


def no_picture(stage: str, image: int) -> bytes:
    raise AssertionError("a film begins with no picture of another stage")


def taken_up(runner: Runner) -> Claim:
    claim = claim_next(runner.pk, ProcessIdentity.of_self())
    assert claim is not None
    return claim


def test_a_lost_process_costs_nothing_where_the_worker_has_the_film(monkeypatch: pytest.MonkeyPatch) -> None:
    job, worker, runner = lost_in(worker_acts.moves, monkeypatch)

    assert (job.status, job.retry_count, runner.must_quiet) == (JobStatus.RUNNING, 0, False)
    claim = taken_up(runner)
    assert claim.job_id == job.pk
    job = run(claim, worker)

    assert (job.status, job.retry_count, job.operator_requeues) == (JobStatus.COMPLETED, 0, 0)
    assert len(worker.executed) == 1
    assert [post.task_id for post in worker.posts] == worker.executed
    assert outcomes(job) == [AttemptOutcome.LOST, AttemptOutcome.COMPLETED]
    assert set(job.attempts.values_list("run_number", flat=True)) == {1}
    told = job.events.filter(event_type=EventType.REQUEUED).get().data
    assert (told["charged"], told["reason"]) == (
        False,
        "the process that ran it was lost, and its worker goes on with it",
    )


def test_another_node_does_not_take_what_goes_on_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, runner = lost_in(worker_acts.moves, monkeypatch)
    other = make_runner(make_film_node())

    assert claim_next(other.pk, ProcessIdentity.of_self()) is None
    assert taken_up(runner).lost is not None


def test_the_lost_process_cannot_write_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    job, _, _ = lost_in(worker_acts.moves, monkeypatch)
    lost = StageAttempt.objects.get()

    assert job.run_token != lost.run_token
    assert not fence(job.pk, lost.run_token).exists()


def test_a_bad_film_that_was_taken_up_is_made_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _, worker, runner = lost_in(worker_acts.frozen, monkeypatch)
    job = run(taken_up(runner), worker)

    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 1)
    assert worker.executed[1] == f"{worker.executed[0]}.2"


def test_what_the_worker_does_not_know_costs_the_retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    job, _, runner = lost_in(worker_acts.moves, monkeypatch, gone=True)

    assert (job.status, job.retry_count, runner.must_quiet) == (JobStatus.QUEUED, 1, True)
    assert runner.lost_attempt is None


def test_a_worker_that_forgets_it_before_it_is_taken_up_costs_the_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, worker, runner = lost_in(worker_acts.moves, monkeypatch)
    worker.forget()
    keeper = WorkerKeeper(worker)  # type: ignore[arg-type]
    job = run(taken_up(runner), worker, keeper)

    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 1, [])
    assert outcomes(job) == [AttemptOutcome.LOST, AttemptOutcome.BAD_ANSWER, AttemptOutcome.COMPLETED]
    assert set(job.attempts.values_list("run_number", flat=True)) == {1, 2}


def test_a_job_that_nobody_takes_up_in_time_is_judged_by_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    job, _, runner = lost_in(worker_acts.moves, monkeypatch)
    assert reconcile(runner, dead) == 0
    Job.objects.filter(pk=job.pk).update(lease_until=database_now() - timedelta(seconds=1))

    assert reconcile(runner, dead) == 1
    job.refresh_from_db()
    runner.refresh_from_db()
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 1)
    assert (runner.lost_attempt, runner.must_quiet) == (None, True)
    assert runner.suspect_task_id == StageAttempt.objects.get().task_id


def test_a_cancel_before_it_is_taken_up_ends_the_film_too(monkeypatch: pytest.MonkeyPatch) -> None:
    job, worker, runner = lost_in(worker_acts.moves, monkeypatch)
    cancel(job.pk, by="ann")
    job = run(taken_up(runner), worker)

    runner.refresh_from_db()
    assert (job.status, worker.posts) == (JobStatus.CANCELLED, [])
    assert (runner.must_quiet, runner.suspect_task_id) == (True, worker.executed[0])


def test_a_cancelled_job_is_not_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    real = afterlife.request_that_goes_on

    def meanwhile(node: Node, job: Job) -> StageAttempt | None:
        found = real(node, job)
        cancel(job.pk, by="ann")
        return found

    monkeypatch.setattr(reconciling, "request_that_goes_on", meanwhile)
    job, worker, runner = lost_in(worker_acts.moves, monkeypatch)

    assert (job.status, runner.lost_attempt, runner.suspect_task_id) == (
        JobStatus.CANCELLED,
        None,
        worker.executed[0],
    )
