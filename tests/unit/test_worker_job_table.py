"""The worker's table of jobs by itself: what two clients may do at the same moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.diffsynth.works import edit_body, picture
from webui.drivers.diffsynth.worker.folder import WorkerFolder
from webui.drivers.diffsynth.worker.jobs import BusyError, OtherJobError, WorkerJobs, fingerprint
from webui.drivers.diffsynth.worker.orders import read_order

PICTURE = picture(8, 8)


def body(job_id: str = "a", **changes: Any) -> dict[str, Any]:
    return edit_body(job_id, PICTURE, **changes)


def add(jobs: WorkerJobs, given: dict[str, Any]) -> bool:
    return jobs.add(given["id"], given, read_order("edit", "tiny", given), lambda _: None)[1]


def test_two_clients_that_send_the_same_job_at_once_have_one() -> None:
    jobs = WorkerJobs()
    # Both have asked before, and both were told that the id is unknown.
    assert jobs.known("a", body()) is None
    assert add(jobs, body())
    assert not add(jobs, body())


def test_two_clients_that_give_one_id_to_two_jobs_at_once_have_one_job() -> None:
    jobs = WorkerJobs()
    add(jobs, body())
    with pytest.raises(OtherJobError):
        add(jobs, body(seed=43))


def test_two_jobs_at_once_are_one_too_many() -> None:
    jobs = WorkerJobs()
    add(jobs, body())
    with pytest.raises(BusyError, match="job a"):
        add(jobs, body("b"))


def test_a_job_whose_inputs_are_missing_is_not_kept() -> None:
    jobs = WorkerJobs()

    def refuse(inputs: tuple[str, ...]) -> None:
        raise LookupError(inputs[0])

    with pytest.raises(LookupError):
        jobs.add("a", body(), read_order("edit", "tiny", body()), refuse)
    assert jobs.current_id is None
    assert add(jobs, body())


def test_phases_only_go_forward() -> None:
    jobs = WorkerJobs()
    job, _ = jobs.add("a", body(), read_order("edit", "tiny", body()), lambda _: None)
    for phase in ("prepare", "encode", "denoise", "encode", "decode", "denoise"):
        jobs.advance(job, phase, 0, 0)
    assert (job.state, job.phase) == ("running", "decode")


def test_the_order_of_keys_makes_no_other_job() -> None:
    assert fingerprint(body()) == fingerprint(dict(reversed(body().items())))


def test_a_folder_that_nobody_holds_is_removed_by_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    abandoned = tmp_path / "stablenew-worker-abandoned"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    strange = tmp_path / "stablenew-worker-of-somebody"
    strange.mkdir()
    first = WorkerFolder()
    second = WorkerFolder()
    assert sorted(tmp_path.iterdir()) == sorted([strange, first.path, second.path])
    assert first.path.stat().st_mode & 0o077 == 0
    first.remove()
    second.remove()
    assert list(tmp_path.iterdir()) == [strange]
