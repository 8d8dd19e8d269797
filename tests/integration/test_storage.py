"""A disk that takes no files is a fault of our own machine: it holds the claims and is charged to no job."""

from __future__ import annotations

import errno
import shutil
import threading
from collections import namedtuple
from pathlib import Path

import pytest
import requests
from pytest_django import Settings

from jobs.clock import database_now
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, Runner
from jobs.queue import storage
from jobs.queue.claims import claim_next
from jobs.queue.hold_words import holds_of
from jobs.queue.holds import HoldCode, all_facts
from jobs.queue.identity import ProcessIdentity
from jobs.queue.storage import MIB, RESERVE_BYTES, hold, make_folder, output_root, release, run_directory
from jobs.running import own_machine
from jobs.running.departures import WorkerLeaves
from jobs.supervising.storage_watch import StorageWatch
from tests.factories import make_job, make_node, make_runner
from tests.integration.scripted_runs import claim_again, execute, outcomes, started
from tests.integration.scripted_webui import PATIENCE_S, SAMPLING, Post, ScriptedWebUI, after, drawn
from webui.errors import WebUINotSentError
from webui.http.answer import HttpAnswer
from webui.whole_file import write_file

pytestmark = pytest.mark.django_db(transaction=True)

ME = ProcessIdentity.of_self()
DiskUsage = namedtuple("DiskUsage", "total used free")
LASTING = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE)


@pytest.fixture(autouse=True)
def outputs(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    monkeypatch.setattr(own_machine, "PAUSES_S", (0.0, 0.0))
    folder: Path = settings.STABLENEW_OUTPUT_DIR
    return folder


class Disk:
    """Says what `writes` says: an error number for every write that is to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails: int | None = None
        self.only_next = False
        self.free = 100 * 1024 * MIB
        for module in ("jobs.running.outputs", "webui.whole_file"):
            monkeypatch.setattr(f"{module}.write_file", self._write)
        monkeypatch.setattr("jobs.queue.storage.make_folder", self._make_folder)
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path: DiskUsage(10**12, 10**12 - self.free, self.free)
        )

    def _write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        self._say(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _make_folder(self, folder: Path) -> None:
        self._say(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def _say(self, path: Path) -> None:
        number = self.fails
        if number is None:
            return
        if self.only_next:
            self.fails = None
        raise OSError(number, "it does not work", str(path))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def held(runner: Runner) -> str:
    runner.refresh_from_db()
    return runner.storage_reason


def probe(watch: StorageWatch, runner: Runner, times: int = 2) -> None:
    for _ in range(times):
        runner = Runner.objects.select_related("node").get(pk=runner.pk)
        watch.look(runner)


@pytest.mark.parametrize("number", LASTING, ids=errno.errorcode.get)
def test_job_that_could_not_be_written_goes_back_uncharged_and_the_next_waits(
    disk: Disk, number: int
) -> None:
    claim, webui, keeper = started()
    second = make_job()
    disk.fails = number
    if number == errno.EMFILE:
        with pytest.raises(Exception, match="it does not work"):
            execute(claim, webui, keeper)
        job = Job.objects.get(pk=claim.job_id)
    else:
        job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, job.error) == (JobStatus.QUEUED, 0, None)
    last = job.events.order_by("sequence").last()
    assert last is not None
    assert (last.event_type, last.data["charged"]) == (EventType.REQUEUED, False)
    assert job.position < second.position
    assert "it does not work" in held(claim.runner)
    assert claim_next(claim.runner_id, ME) is None
    assert Job.objects.filter(status=JobStatus.FAILED).count() == 0
    disk.fails = None
    watch = StorageWatch(clock=iter(range(0, 10_000, 100)).__next__)
    probe(watch, claim.runner)
    assert held(claim.runner) == ""
    job = execute(claim_again(claim), webui, keeper)
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 0)
    assert {attempt.run_number for attempt in job.attempts.all()} == {1, 2}


def test_process_without_descriptors_leaves_wherever_it_meets_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    claim, webui, keeper = started()
    monkeypatch.setattr("jobs.running.outputs.sync_directory", full)
    with pytest.raises(WorkerLeaves):
        execute(claim, webui, keeper)
    job = Job.objects.get(pk=claim.job_id)
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 0)


def test_one_write_that_fails_is_done_again(disk: Disk) -> None:
    claim, webui, keeper = started()
    disk.fails, disk.only_next = errno.EIO, True
    job = execute(claim, webui, keeper)
    assert (job.status, outcomes(job), held(claim.runner)) == (JobStatus.COMPLETED, ["completed"], "")


def test_hold_lasts_until_a_probe_succeeds_and_says_the_newest_reason(disk: Disk) -> None:
    claim, webui, keeper = started()
    disk.fails = errno.ENOSPC
    execute(claim, webui, keeper)
    watch = StorageWatch(clock=iter(range(0, 10_000, 100)).__next__)
    disk.fails, disk.free = None, 3 * MIB
    probe(watch, claim.runner)
    assert "3.0 MiB free" in held(claim.runner)
    disk.free = 100 * 1024 * MIB
    probe(watch, claim.runner, times=1)
    assert held(claim.runner) == ""
    runner = Runner.objects.get(pk=claim.runner_id)
    assert runner.token_pending


def test_hold_that_comes_back_is_tried_more_and_more_rarely() -> None:
    runner = make_runner()
    now = [0.0]
    watch = StorageWatch(clock=lambda: now[0])
    tries: list[float] = []
    for _ in range(10):
        Runner.objects.update(storage_reason="full")
        began = now[0]
        probe(watch, runner, times=1)
        while held(runner):
            now[0] += 1
            probe(watch, runner, times=1)
        probe(watch, runner, times=1)
        tries.append(now[0] - began)
    assert tries == sorted(tries)
    assert tries[0] <= 4
    assert tries[-1] == 120


def test_no_job_is_claimed_where_its_pictures_would_not_fit(disk: Disk) -> None:
    runner = make_runner()
    job = make_job(overrides={"txt2img.width": 2048, "txt2img.height": 2048})
    disk.free = RESERVE_BYTES + 2048 * 2048 * 3 - 1
    assert claim_next(runner.pk, ME) is None
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert "next job's pictures" in held(runner)
    disk.free += 1
    probe(StorageWatch(clock=iter(range(0, 10_000, 100)).__next__), runner)
    assert held(runner) == ""
    assert claim_next(runner.pk, ME) is not None


def test_output_folder_that_was_moved_away_is_not_made_anew(outputs: Path) -> None:
    claim, webui, keeper = started()
    execute(claim, webui, keeper)
    away = outputs.rename(outputs.with_name("elsewhere"))
    make_job()
    assert claim_next(claim.runner_id, ME) is None
    assert str(outputs) in held(claim.runner)
    assert not outputs.exists()
    away.rename(outputs)
    probe(StorageWatch(clock=iter(range(0, 10_000, 100)).__next__), claim.runner)
    assert claim_next(claim.runner_id, ME) is not None


def test_folder_that_goes_while_a_job_draws_is_missed_and_the_picture_kept_nowhere(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, webui, keeper = started()
    execute(first, webui, keeper)
    make_job()
    claim = claim_next(first.runner_id, ME)
    assert claim is not None
    outputs.rename(outputs.with_name("elsewhere"))
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count) == (JobStatus.QUEUED, 0)
    assert not outputs.exists()


def test_every_node_of_the_machine_is_held_and_no_other() -> None:
    mine = make_runner(make_node("mine"), host_identity="here")
    same = make_runner(make_node("same"), host_identity="here", storage_reason="")
    other = make_runner(make_node("other"), host_identity="there")

    hold(mine, "The disk is full.")
    assert (held(same), held(other)) == ("The disk is full.", "")
    release(same)
    assert held(mine) == ""


def test_people_read_why_and_what_to_do() -> None:
    runner = make_runner(make_node("gpu1"))
    Runner.objects.update(storage_reason="/data has 0.0 MiB free, and 64.0 MiB are needed for the database.")

    now = database_now()
    [facts] = all_facts(now)
    [told] = holds_of(facts, now)
    assert told.code == HoldCode.STORAGE
    assert told.text.startswith("gpu1 has taken no jobs")
    assert "are needed for the database" in told.text
    assert told.remedy
    assert runner.pk


def test_process_that_can_open_nothing_more_blames_no_webui_and_leaves() -> None:
    cause = OSError(errno.EMFILE, "Too many open files")
    refused = requests.ConnectionError("Failed to establish a new connection")
    refused.__cause__ = cause
    error = WebUINotSentError("it could not be reached")
    error.__cause__ = refused
    found = own_machine.own_fault(error)
    assert found is not None
    assert found.fresh_process
    assert "Too many open files" in str(found)
    assert own_machine.own_fault(WebUINotSentError("refused")) is None


def out_of_threads(monkeypatch: pytest.MonkeyPatch, name: str, refused: threading.Event) -> None:
    """What pthread_create answers under a limit of processes, for threads of that name; `refused` is set then."""
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith(name):
            refused.set()
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.parametrize("name", ["post-", "lease-", "after-"])
def test_thread_that_cannot_be_started_charges_no_job_and_asks_for_a_fresh_process(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.running.in_flight.FIRST_LOOK_S", 0.02)
    refused = threading.Event()
    # The lease begins while the request is under way; the other two threads before and after it.
    claim, webui, keeper = started(*[after(lambda: refused.wait(PATIENCE_S))] * (name == "lease-"))
    with monkeypatch.context() as patch:
        out_of_threads(patch, name, refused)
        with pytest.raises(WorkerLeaves, match="no thread can be started"):
            execute(claim, webui, keeper)
    job = Job.objects.get(pk=claim.job_id)
    assert (job.status, job.retry_count, job.error) == (JobStatus.QUEUED, 0, None)
    assert "no thread can be started" in held(claim.runner)
    # What was sent may still be drawn, and nothing is sent beside it.
    claim.runner.refresh_from_db()
    assert claim.runner.must_quiet or name != "lease-"
    release(claim.runner)
    job = execute(claim_again(claim), webui, keeper)
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 0)


def test_preview_whose_thread_cannot_be_started_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.running.in_flight.FIRST_LOOK_S", 0.02)
    refused = threading.Event()

    def sampling(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        webui.state = dict(SAMPLING)
        refused.wait(PATIENCE_S)
        return drawn(webui, post)

    claim, webui, keeper = started(sampling)
    out_of_threads(monkeypatch, "preview-", refused)
    job = execute(claim, webui, keeper)
    assert refused.is_set()
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 0)


def test_memory_that_is_missing_for_an_answer_charges_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, webui, keeper = started()
    with monkeypatch.context() as patch:
        patch.setattr("webui.drivers.a1111.schemas.base64.b64decode", no_memory)
        with pytest.raises(WorkerLeaves, match="no memory"):
            execute(claim, webui, keeper)
    job = Job.objects.get(pk=claim.job_id)
    assert (job.status, job.retry_count, job.error) == (JobStatus.QUEUED, 0, None)
    assert "no memory" in held(claim.runner)
    release(claim.runner)
    assert execute(claim_again(claim), webui, keeper).status == JobStatus.COMPLETED


def test_answer_that_fills_the_memory_each_time_ends_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would go round for ever."""
    claim, webui, keeper = started()
    monkeypatch.setattr("webui.http.connection.MOST_SMALL_BYTES", 10)
    monkeypatch.setattr("webui.drivers.a1111.schemas.base64.b64decode", no_memory)
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, job.error_code) == (JobStatus.FAILED, 1, "WEBUI_BAD_ANSWER")


def no_memory(*arguments: object, **named: object) -> bytes:
    raise MemoryError


def test_an_output_folder_that_is_moved_away_right_now_is_not_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look whether it is there and the folder that a job needs in it."""
    folder = run_directory(make_job())
    make_folder(folder)
    root = output_root()
    root.rename(root.with_name("elsewhere"))
    monkeypatch.setattr(storage, "_folder_is_gone", lambda root: "")
    with pytest.raises(FileNotFoundError):
        make_folder(folder)
    with pytest.raises(FileNotFoundError):
        write_file(folder / "1.png", b"picture")
    assert not root.exists()
