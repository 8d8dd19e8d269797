"""Every try of a job stands in three places that agree: its rows, its `JobExecutionMetadata`, its envelope."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from jobs.lifecycle import EventType, JobStatus
from jobs.models import HistoryEntry, Job
from jobs.running.execution import execution_metadata
from jobs.running.outputs import run_directory
from tests.factories import make_node, make_pack, make_runner, make_running_job
from tests.integration.scripted_runs import claim_again, execute
from tests.integration.scripted_webui import Act, ScriptedKeeper, ScriptedWebUI, cut, dies, says

pytestmark = pytest.mark.django_db(transaction=True)

PROMPT = "an unmistakable lighthouse"


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


def run(*script: Act) -> tuple[Job, ScriptedWebUI]:
    """A job on a node with a name, through this script."""
    runner = make_runner(make_node("forge"))
    _, claim = make_running_job(runner, revision=make_pack(text=f"{PROMPT}\nneg: blurry\n"))
    webui = ScriptedWebUI(*script)
    return execute(claim, webui, ScriptedKeeper(webui)), webui


def envelope(job: Job) -> dict[str, Any]:
    assert job.error is not None
    error: dict[str, Any] = job.error
    return error


def event(job: Job, kind: EventType) -> dict[str, Any]:
    data: dict[str, Any] = job.events.get(event_type=kind).data
    return data


def facts(job: Job, *names: str) -> list[tuple[Any, ...]]:
    return list(job.attempts.order_by("id").values_list(*names))


#: Two refusals for the moment and a crash; in the retry one refusal and the second crash.
FIVE_TRIES = (says(503), says(503), says(500), says(503), dies)


def test_every_try_is_a_row_with_its_place_in_policy_and_run() -> None:
    job, webui = run(*FIVE_TRIES)
    assert job.status == JobStatus.FAILED
    assert len(webui.posts) == 5
    assert facts(job, "run_number", "attempt_index", "max_attempts", "wait_s") == [
        (1, 1, 3, 0.0),
        (1, 2, 3, 1.0),
        (1, 3, 3, 2.0),
        (2, 1, 3, 0.0),
        (2, 2, 3, 1.0),
    ]
    assert facts(job, "outcome", "http_status", "node_generation") == [
        ("transient", 503, 1),
        ("transient", 503, 1),
        ("server_error", 500, 1),
        ("transient", 503, 2),
        ("unavailable", None, 2),
    ]
    assert {post.body["force_task_id"] for post in webui.posts} == {task for (task,) in facts(job, "task_id")}
    for attempt in job.attempts.all():
        assert attempt.ended_at is not None
        assert attempt.duration_s is not None
        assert attempt.started_at <= attempt.ended_at
        assert attempt.reason


def test_execution_metadata_tells_the_same_as_the_rows() -> None:
    job, _ = run(*FIVE_TRIES)
    told = execution_metadata(job)
    assert (told.retry_count, told.operator_requeues, told.executions) == (1, 0, 2)
    assert told.nodes == ("forge",)
    names = ("stage", "image_index", "run_number", "attempt_index", "max_attempts", "task_id", "outcome")
    more = ("http_status", "reason", "wait_s", "duration_s")
    rows = facts(job, *names, *more)
    assert [tuple(getattr(one, name) for name in (*names, *more)) for one in told.attempts] == rows
    assert [(one.node, one.generation) for one in told.attempts] == [("forge", 1)] * 3 + [("forge", 2)] * 2
    assert json.loads(json.dumps(told.as_json())) == envelope(job)["execution_metadata"]


def test_retry_info_of_the_envelope_has_one_entry_per_try() -> None:
    job, _ = run(*FIVE_TRIES)
    entries = envelope(job)["retry_info"]["attempts"]
    rows = facts(job, "stage", "attempt_index", "max_attempts", "reason", "wait_s", "started_at")
    names = ("stage", "attempt_index", "max_attempts", "reason", "wait_s")
    assert [tuple(entry[name] for name in names) for entry in entries] == [row[:-1] for row in rows]
    assert [datetime.fromisoformat(entry["timestamp"]) for entry in entries] == [row[-1] for row in rows]
    assert [entry["wait_s"] for entry in entries] == [0.0, 1.0, 2.0, 0.0, 1.0]
    assert "HTTP 503" in entries[0]["reason"]
    assert "HTTP 500" in entries[2]["reason"]


def test_a_completed_job_keeps_what_it_took() -> None:
    job, _ = run(says(503), says(503))
    assert job.status == JobStatus.COMPLETED
    told = execution_metadata(job)
    assert (told.retry_count, told.executions) == (0, 1)
    assert [(one.attempt_index, one.wait_s, one.outcome) for one in told.attempts] == [
        (1, 0.0, "transient"),
        (2, 1.0, "transient"),
        (3, 2.0, "completed"),
    ]
    assert [one.reason for one in told.attempts][-1] == ""


def test_crash_suspected_tells_the_request_by_its_keys_and_never_the_prompt() -> None:
    job, webui = run(says(503), says(500, words=f"failed on {PROMPT}"))
    data = event(job, EventType.CRASH_SUSPECTED)
    told = {name: data[name] for name in ("stage", "attempt", "error_code", "error_type", "http_status")}
    assert told == {
        "stage": "txt2img",
        "attempt": 2,
        "error_code": "WEBUI_SERVER_ERROR",
        "error_type": "WebUIServerError",
        "http_status": 500,
    }
    assert (data["restart"], data["generation"]) == (True, 1)
    assert data["payload_keys"] == list(webui.posts[1].body)
    assert {"prompt", "seed", "steps"} <= set(data["payload_keys"])
    assert data["artifacts"] == job.attempts.order_by("id")[1].artifact_paths
    assert "unmistakable" not in data["reason"]
    assert "unmistakable" not in str(facts(job, "reason", "artifact_paths"))


def test_words_of_the_request_reach_no_row_no_event_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    codes = (503, 503, 500, 503, 503, 503)
    job, _ = run(*(says(code, words=f"failed on {PROMPT}") for code in codes))
    assert (job.status, job.error_code) == (JobStatus.FAILED, "WEBUI_TRANSIENT_EXHAUSTED")
    rows = facts(job, "reason", "artifact_paths")
    assert ["failed on [removed]" in reason for reason, _ in rows] == [True] * len(codes)
    told = [rows, envelope(job), list(job.events.values_list("data", flat=True)), caplog.text]
    assert "unmistakable" not in str(told)


def test_the_events_of_a_retry_tell_restart_and_run() -> None:
    job, _ = run(dies)
    restarted = event(job, EventType.WEBUI_RESTARTED)
    assert (restarted["generation"], restarted["node"]) == (2, "forge")
    assert restarted["waited_s"] >= 0
    begun = event(job, EventType.RETRY_STARTED)
    assert {name: begun[name] for name in ("stage", "run_number", "from_stage_1")} == {
        "stage": "txt2img",
        "run_number": 2,
        "from_stage_1": False,
    }


def test_a_bad_answer_is_told_as_one_that_needs_no_restart() -> None:
    job, _ = run(cut)
    data = event(job, EventType.CRASH_SUSPECTED)
    assert (data["error_code"], data["http_status"], data["restart"]) == ("WEBUI_BAD_ANSWER", 200, False)


def test_retry_exhausted_and_envelope_name_the_same_evidence() -> None:
    job, _ = run(says(500), dies)
    data = event(job, EventType.RETRY_EXHAUSTED)
    folder = f"{run_directory(job).parent.name}/{job.pk}"
    plain = [f"{folder}/stage_failure_payload.json", f"{folder}/webui_tail.log"]
    first = [f"{folder}/attempt-1/stage_failure_payload.json", f"{folder}/attempt-1/webui_tail.log"]
    assert (data["stage"], data["error_code"]) == ("txt2img", "WEBUI_CONNECTION_LOST")
    assert data["artifacts"] == envelope(job)["artifact_paths"] == [*plain, *first]
    # Each try names what it wrote itself: the first failure's copies, which nothing overwrites, are its own.
    assert facts(job, "artifact_paths") == [([*plain, *first],), (plain,)]
    told = [json.loads((run_directory(job).parents[1] / path).read_text()) for path in (plain[0], first[0])]
    assert [one["error"]["code"] for one in told] == ["WEBUI_CONNECTION_LOST", "WEBUI_SERVER_ERROR"]


def test_history_envelope_and_events_agree() -> None:
    job, _ = run(*FIVE_TRIES)
    history = HistoryEntry.objects.get(job=job)
    failed = event(job, EventType.FAILED)
    assert failed["error"] == envelope(job)
    assert (history.status, history.retry_count) == (JobStatus.FAILED, 1)
    assert history.error_message == envelope(job)["message"]
    assert history.finished_at == job.finished_at
    assert history.output_paths == []
    numbers = list(job.events.order_by("sequence").values_list("sequence", flat=True))
    assert numbers == list(range(1, job.last_sequence + 1))


def test_history_of_a_retried_job_names_only_the_accepted_pictures() -> None:
    job, _ = run(cut)
    history = HistoryEntry.objects.get(job=job)
    assert (history.status, history.retry_count, history.error_message) == (JobStatus.COMPLETED, 1, "")
    assert history.output_paths == [picture.path for picture in job.results]
    [completed] = [one.data for one in job.events.filter(event_type=EventType.STAGE_COMPLETED)]
    assert completed["outputs"] == history.output_paths
    assert completed["run_number"] == 2


def test_tries_of_a_later_claim_are_counted_on() -> None:
    runner = make_runner(make_node())
    _, claim = make_running_job(runner)
    webui = ScriptedWebUI(dies, says(503))
    keeper = ScriptedKeeper(webui, fails=True)
    assert execute(claim, webui, keeper).status == JobStatus.QUEUED
    webui.is_gone = False
    job = execute(claim_again(claim), webui, keeper)
    assert job.status == JobStatus.COMPLETED
    assert facts(job, "run_number", "attempt_index", "wait_s", "outcome") == [
        (1, 1, 0.0, "unavailable"),
        (2, 1, 0.0, "transient"),
        (2, 2, 1.0, "completed"),
    ]
    assert execution_metadata(job).executions == 2


def test_crash_and_spent_retry_stand_in_the_log_by_their_names_without_a_word_of_the_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    job, _ = run(says(503), says(500, words=f"failed on {PROMPT}"), says(500, words=f"failed on {PROMPT}"))
    told = {record.__dict__.get("event"): record for record in caplog.records}
    for kind, attempt in ((EventType.CRASH_SUSPECTED, 2), (EventType.RETRY_EXHAUSTED, 1)):
        record = told[kind.value]
        assert record.getMessage().startswith(
            f"{kind.value}: job {job.pk}, stage txt2img, attempt {attempt}, node forge, payload keys prompt, "
        )
        assert "steps" in record.getMessage()
        given = {name: record.__dict__[name] for name in ("job_id", "stage", "attempt", "node", "code")}
        assert given == {
            "job_id": job.pk,
            "stage": "txt2img",
            "attempt": attempt,
            "node": "forge",
            "code": "WEBUI_SERVER_ERROR",
        }
        assert "unmistakable" not in str(record.__dict__) + record.getMessage()
