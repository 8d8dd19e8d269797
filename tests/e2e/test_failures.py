"""A failure that no retry mends is the end of one job, told in its envelope; the next job runs."""

from __future__ import annotations

import pytest

from tests.e2e.queueing import TEXT, posted_jobs, submit
from tests.e2e.stack import Stack

pytestmark = pytest.mark.stack


def test_an_error_answer_fails_the_job_in_one_way_everywhere_and_the_next_one_runs(stack: Stack) -> None:
    stack.add_simulator("--fault", "422@1", seconds_per_step=0.01)
    stack.start_node()
    stack.wait_ready()
    first, second = submit(stack, repeat=2)
    following = stack.wait_job(second, "COMPLETED")
    failed = stack.job(first)
    error = failed["error"]
    assert (failed["status"], failed["error_code"]) == ("FAILED", "WEBUI_REQUEST_INVALID")
    assert (error["code"], error["job_id"], error["stage"]) == ("WEBUI_REQUEST_INVALID", first, "txt2img")
    assert error["remediation"]
    assert "lighthouse" not in str(error)
    last = failed["events"][-1]
    assert (last["event_type"], last["data"]["error"]) == ("FAILED", error)
    [[message]] = stack.sql(f"SELECT error_message FROM jobs_historyentry WHERE job_id = {first}")  # noqa: S608
    assert message == error["message"]
    [attempt] = failed["stage_attempts"]
    assert (attempt["outcome"], attempt["http_status"]) == ("rejected", 422)
    assert posted_jobs(stack) == [failed["id"], following["id"]]
    assert len(stack.journal("start")) == 1


def test_output_folder_that_takes_no_files_holds_the_queue_and_is_charged_to_no_job(stack: Stack) -> None:
    stack.add_simulator(seconds_per_step=0.01)
    (stack.folder / "outputs").write_text("a file where the folder should be")
    stack.start_node()
    stack.wait_ready()
    job_ids = [*submit(stack), *submit(stack, "again")]
    doctor = stack.wait_until(lambda: _held(stack), "the queue is held")
    assert str(stack.folder / "outputs") in doctor
    assert {stack.job(job_id)["status"] for job_id in job_ids} == {"QUEUED"}
    (stack.folder / "outputs").unlink()
    for job_id in job_ids:
        done = stack.wait_job(job_id, "COMPLETED")
        assert (done["retry_count"], len(done["outputs"])) == (0, 1)
    assert posted_jobs(stack) == job_ids


def _held(stack: Stack) -> str:
    [[reason]] = stack.sql("SELECT storage_reason FROM jobs_runner")
    return str(reason)


def test_an_unknown_checkpoint_is_never_rendered_with_another_one(stack: Stack) -> None:
    stack.add_simulator(seconds_per_step=0.01)
    stack.start_node()
    stack.wait_ready()
    small = {"txt2img.steps": 2, "txt2img.width": 64, "txt2img.height": 64}
    named = {**small, "txt2img.model": "nowhere.safetensors"}
    [job_id] = submit(stack, "pack", TEXT, anyway=True, overrides=named)
    failed = stack.wait_job(job_id, "FAILED")
    assert failed["error"]["code"] == "WEBUI_UNKNOWN_CHECKPOINT"
    assert "nowhere.safetensors" in failed["error"]["message"]
    assert failed["outputs"] == []


def test_a_record_changed_in_the_database_is_never_run(stack: Stack) -> None:
    stack.add_simulator(seconds_per_step=0.01)
    [job_id] = submit(stack)
    stack.database.execute(
        "UPDATE jobs_jobrecord SET canonical_json = replace(canonical_json, 'dusk', 'dawn')"
    )
    stack.start_node()
    stack.wait_ready()
    failed = stack.wait_job(job_id, "FAILED")
    assert failed["error"]["code"] == "RECORD_CHANGED"
    assert stack.posts() == []
