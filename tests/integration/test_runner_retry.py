"""What one run does when its WebUI fails: one restart and one retry where a crash is likely, and never a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError
from pytest_django import Settings

from jobs import runner
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome, Job, Runner
from jobs.outputs import output_root
from jobs.runner import Run
from jobs.services import cancel
from tests.integration.scripted_runs import events, execute, outcomes, started
from tests.integration.scripted_webui import (
    Act,
    after,
    cut,
    dies,
    drawn,
    fewer,
    half_json,
    interrupted,
    lost,
    refused,
    says,
    stands_still,
    torn,
    vanishes,
)
from webui.models import Node, NodeState, Wish

pytestmark = pytest.mark.django_db(transaction=True)

RETRIED = [
    EventType.STAGE_STARTED,
    EventType.CRASH_SUSPECTED,
    EventType.WEBUI_RESTARTED,
    EventType.RETRY_STARTED,
]


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


def files_exist(paths: list[str]) -> bool:
    return all((output_root() / path).is_file() for path in paths)


# --- the one retry -------------------------------------------------------------------------------------


def test_a_job_without_failure_is_sent_once() -> None:
    claim, webui, keeper = started()
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, len(webui.posts)) == (JobStatus.COMPLETED, 0, 1)
    assert keeper.generations == []
    assert len(job.results) == 2
    assert events(job) == [EventType.STAGE_STARTED, EventType.STAGE_COMPLETED, EventType.COMPLETED]


@pytest.mark.parametrize(
    "failure",
    [says(500), says(500, words="CUDA out of memory"), lost, dies, refused],
    ids=["500", "memory", "lost", "dies", "refused"],
)
def test_a_crash_costs_one_restart_and_one_retry(failure: Act) -> None:
    claim, webui, keeper = started(failure, drawn)
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 1)
    assert keeper.generations == [1]
    first, second = webui.posts
    assert first.text == second.text
    assert events(job) == [*RETRIED, EventType.STAGE_COMPLETED, EventType.COMPLETED]
    assert list(job.attempts.order_by("id").values_list("run_number", "node_generation")) == [(1, 1), (2, 2)]
    assert Runner.objects.get().crash_failures == 0


@pytest.mark.parametrize(
    ("failure", "code", "asks"),
    [(says(500), "WEBUI_SERVER_ERROR", ""), (lost, "WEBUI_CONNECTION_LOST", Wish.RESTART)],
    ids=["500", "lost"],
)
def test_a_crash_in_the_retry_fails_the_job_with_its_evidence(failure: Act, code: str, asks: str) -> None:
    claim, webui, keeper = started(failure, failure, drawn)
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, len(webui.posts)) == (JobStatus.FAILED, 1, 2)
    assert keeper.generations == [1]
    assert events(job) == [*RETRIED, EventType.RETRY_EXHAUSTED, EventType.FAILED]
    assert job.error is not None
    assert (job.error["code"], job.error_code) == (code, code)
    assert len(job.error["artifact_paths"]) == 4
    assert files_exist(job.error["artifact_paths"])
    assert Runner.objects.get().crash_failures == 1
    node = Node.objects.get()
    assert (node.wish, node.wish_generation) == (asks, 2 if asks else None)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says(422, "", "steps: must be at most 150"), "WEBUI_REQUEST_INVALID"),
        (says(404, "HTTPException", "Sampler not found"), "WEBUI_SAMPLER_NOT_FOUND"),
        (says(500, "HTTPException", "Invalid encoded image"), "WEBUI_INVALID_IMAGE"),
        (says(500, "AssertionError", "could not find upscaler named x"), "WEBUI_UNKNOWN_UPSCALER"),
        (says(401, "", "Not authenticated"), "WEBUI_AUTH"),
    ],
    ids=["field", "sampler", "image", "upscaler", "password"],
)
def test_a_request_that_is_wrong_is_neither_repeated_nor_retried(answer: Act, code: str) -> None:
    claim, webui, keeper = started(answer)
    job = execute(claim, webui, keeper)
    assert (job.status, job.error_code, job.retry_count) == (JobStatus.FAILED, code, 0)
    assert (len(webui.posts), keeper.generations) == (1, [])
    assert events(job) == [EventType.STAGE_STARTED, EventType.FAILED]
    assert Runner.objects.get().crash_failures == 0
    assert Node.objects.get().wish == ""


BAD_ANSWERS = [fewer, cut, torn, half_json, interrupted]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda act: str(act.__name__))
def test_a_bad_answer_costs_the_retry_but_no_restart_and_is_never_accepted(answer: Act) -> None:
    claim, webui, keeper = started(answer)
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 1)
    assert keeper.generations == []
    assert outcomes(job) == ["bad_answer", "completed"]
    assert {picture.attempt_id for picture in job.outputs.all()} == {job.attempts.order_by("id")[1].pk}
    without_restart = [event for event in RETRIED if event != EventType.WEBUI_RESTARTED]
    assert events(job) == [*without_restart, EventType.STAGE_COMPLETED, EventType.COMPLETED]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda act: str(act.__name__))
def test_a_second_bad_answer_fails_the_job_and_says_nothing_about_the_webui(answer: Act) -> None:
    claim, webui, keeper = started(answer, answer)
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.FAILED, 1, [])
    assert list(job.outputs.all()) == []
    assert events(job)[-2:] == [EventType.RETRY_EXHAUSTED, EventType.FAILED]
    assert Runner.objects.get().crash_failures == 0


def test_bad_answer_and_crash_share_the_one_retry() -> None:
    claim, webui, keeper = started(cut, says(500))
    job = execute(claim, webui, keeper)
    assert (job.status, job.error_code, keeper.generations) == (JobStatus.FAILED, "WEBUI_SERVER_ERROR", [])
    assert len(webui.posts) == 2


# --- how a request is found dead -----------------------------------------------------------------------


def test_a_request_that_stands_still_is_a_crash(settings: Settings) -> None:
    settings.STABLENEW_HANG_BUSY_S = 0.3
    claim, webui, keeper = started(stands_still)
    job = execute(claim, webui, keeper)
    assert (job.status, keeper.generations) == (JobStatus.COMPLETED, [1])
    [event] = job.events.filter(event_type=EventType.CRASH_SUSPECTED)
    assert event.data["error_code"] == "WEBUI_HANG"
    assert outcomes(job) == ["unavailable", "completed"]


@pytest.mark.parametrize("command", ["a command whose process is gone", ""], ids=["managed", "attached"])
def test_a_webui_that_is_gone_is_noticed_before_the_connection_breaks(command: str) -> None:
    claim, webui, keeper = started(vanishes, start_command=command)
    job = execute(claim, webui, keeper)
    assert (job.status, keeper.generations) == (JobStatus.COMPLETED, [1])
    first = job.attempts.order_by("id")[0]
    assert "its process is gone or refuses connections" in first.reason


# --- refused for the moment ----------------------------------------------------------------------------


def test_refusals_for_the_moment_are_repeated_by_the_policy_at_no_cost() -> None:
    claim, webui, keeper = started(says(503), says(429), drawn)
    job = execute(claim, webui, keeper)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 0, [])
    assert outcomes(job) == ["transient", "transient", "completed"]
    assert list(job.attempts.order_by("id").values_list("wait_s", flat=True)) == [0.0, 1.0, 2.0]
    assert len({post.text for post in webui.posts}) == 1


def test_a_request_that_never_left_for_a_webui_that_is_starting_is_repeated_at_no_cost() -> None:
    def set_state(state: NodeState) -> None:
        Node.objects.update(state=state)

    starting = after(lambda: set_state(NodeState.STARTING), refused)
    claim, webui, keeper = started(starting, drawn, start_command="a command")
    Run(claim, connect=webui.connect, restart=keeper, sleep=lambda _: set_state(NodeState.READY)).execute()
    job = Job.objects.get(pk=claim.job_id)
    assert (job.status, job.retry_count, keeper.generations) == (JobStatus.COMPLETED, 0, [])
    assert outcomes(job) == ["transient", "completed"]


def test_refusals_until_the_policy_is_used_up_are_a_crash() -> None:
    claim, webui, keeper = started(*[says(503)] * 5, drawn)
    posts_at_restart: list[int] = []

    def restart(node_id: int, **asked: Any) -> int:
        posts_at_restart.append(len(webui.posts))
        return keeper(node_id, **asked)

    job = execute(claim, webui, restart)
    assert (job.status, job.retry_count, len(webui.posts)) == (JobStatus.COMPLETED, 1, 6)
    assert posts_at_restart == [3]
    waits = list(job.attempts.order_by("id").values_list("run_number", "attempt_index", "wait_s"))
    assert waits == [(run, attempt, float(attempt - 1)) for run in (1, 2) for attempt in (1, 2, 3)]


def test_a_cancel_between_two_tries_of_the_policy_sends_nothing_more() -> None:
    claim, webui, keeper = started()
    webui.script = (after(lambda: cancel(claim.job_id, by="ann"), says(503)),)
    job = execute(claim, webui, keeper)
    assert (job.status, len(webui.posts)) == (JobStatus.CANCELLED, 1)


def test_pictures_that_cannot_be_accepted_leave_no_attempt_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def unacceptable(*args: object, **kwargs: object) -> None:
        raise IntegrityError("a constraint of the database")

    claim, webui, keeper = started(drawn)
    monkeypatch.setattr(runner, "accept", unacceptable)
    job = execute(claim, webui, keeper)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "INTERNAL_ERROR")
    assert outcomes(job) == [AttemptOutcome.ERROR]
