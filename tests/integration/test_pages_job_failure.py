"""What the page of a job and `jobs show` tell of crashes, retries, waits and evidence."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from jobs.lifecycle import EventType
from jobs.models import AttemptOutcome, Job, OutputImage, StageAttempt
from jobs.reading.detail import job_detail
from tests.factories import make_job, make_node, make_runner, make_running_job, make_user
from tests.integration.console import Console
from tests.integration.failed_jobs import complete_in_retry, crash, fail_in_retry, tell
from tests.integration.finished_jobs import add_picture, claim, complete, fail
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def page(client: Client, job_id: int) -> str:
    answer = client.get(reverse("job", args=[job_id]))
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def told(job_id: int) -> dict[str, str]:
    """The sentences of the time line by their titles."""
    detail = job_detail(job_id)
    assert detail is not None
    return {entry.title: entry.text for entry in detail.timeline}


def test_error_card_says_code_stage_retries_and_cause(viewer: Client) -> None:
    make_job()
    failed = fail_in_retry(make_runner())
    text = page(viewer, failed.pk)
    assert failed.error is not None
    for words in (
        "<code>WEBUI_CONNECTION_LOST</code>",
        failed.error["message"],
        failed.error["remediation"],
        "<dt>Stage</dt><dd>txt2img</dd>",
        "<dt>Retries</dt><dd>1 of 1</dd>",
        "<dt>Caused by</dt><dd>ConnectionResetError: [Errno 104] Connection reset by peer</dd>",
        '<dt>When</dt><dd><time datetime="',
    ):
        assert words in text


def test_attempts_show_outcome_status_reason_waits_and_time(viewer: Client) -> None:
    make_job()
    claimed = claim(make_runner(make_node("alpha")))
    first = crash(claimed, status=503)
    StageAttempt.objects.filter(pk=first.pk).update(outcome=AttemptOutcome.TRANSIENT, reason="Busy loading")
    second = crash(claimed)
    StageAttempt.objects.filter(pk=second.pk).update(attempt_index=2, wait_s=1.5)
    text = page(viewer, claimed.job_id)
    assert '<span class="status">Transient refusal</span> <span class="soft">HTTP 503</span>' in text
    assert "<p>Busy loading</p>" in text
    assert "run 1 · attempt 2 of 3 · waited 1.5 s before · took 2.5 s · alpha, generation 1" in text


def test_recovery_is_told_in_plain_sentences() -> None:
    make_job()
    failed = fail_in_retry(make_runner())
    assert (
        told(failed.pk).items()
        >= {
            "WebUI crash suspected": "txt2img ended with WEBUI_SERVER_ERROR, HTTP 500. A restart of the "
            "WebUI (generation 1) is due, then the job gets its one retry. 4 files of evidence were kept.",
            "WebUI restarted": "It was ready again as generation 2 after 3.2 s.",
            "Retry started": "The one retry goes on with txt2img (run 2); kept pictures stay.",
            "Retry exhausted": "txt2img failed again with WEBUI_CONNECTION_LOST, and a job has one retry only.",
        }.items()
    )


def test_a_bad_answer_and_a_lost_picture_are_told_as_what_they_are() -> None:
    job, _ = make_running_job()
    bad = {"stage": "img2img", "error_code": "WEBUI_TOO_FEW_PICTURES", "restart": False, "reason": "1 of 2."}
    tell(job.pk, EventType.CRASH_SUSPECTED, bad)
    tell(job.pk, EventType.RETRY_STARTED, {"stage": "txt2img", "run_number": 2, "from_stage_1": True})
    assert told(job.pk)["WebUI crash suspected"] == (
        "img2img ended with WEBUI_TOO_FEW_PICTURES. "
        "The WebUI goes on without a restart; the job gets its one retry."
    )
    assert told(job.pk)["Retry started"] == (
        "The one retry begins again at the first stage (run 2): a kept picture was missing or had changed."
    )


@pytest.mark.parametrize(
    ("charged", "words"), [(True, "This used its one retry."), (False, "This was not charged to the job.")]
)
def test_a_requeue_says_whether_it_was_charged(charged: bool, words: str) -> None:
    job, _ = make_running_job()
    tell(job.pk, EventType.REQUEUED, {"reason": "worker lost", "charged": charged})
    assert told(job.pk)["Requeued"] == f"Worker lost. It waits at the head of the queue. {words}"


def test_an_event_of_recovery_without_facts_is_still_a_sentence() -> None:
    job, _ = make_running_job()
    for event in (
        EventType.CRASH_SUSPECTED,
        EventType.WEBUI_RESTARTED,
        EventType.RETRY_STARTED,
        EventType.RETRY_EXHAUSTED,
        EventType.REQUEUED,
    ):
        tell(job.pk, event, {})
        assert told(job.pk)[str(event.label)].endswith(".")
        assert "None" not in told(job.pk)[str(event.label)]


def test_page_pulls_the_evidence_and_keeps_a_link_for_browsers_without_scripts(viewer: Client) -> None:
    make_job()
    failed = fail_in_retry(make_runner())
    address = reverse("failure-artifacts", args=[failed.pk])
    text = page(viewer, failed.pk)
    assert f'hx-get="{address}" hx-trigger="load"' in text
    assert f'href="{address}"' in text


def test_job_that_completed_in_its_retry_shows_its_attempts_and_one_that_met_no_trouble_does_not(
    viewer: Client,
) -> None:
    runner = make_runner()
    make_job()
    text = page(viewer, complete_in_retry(runner).pk)
    assert 'id="attempts-head"' in text
    assert "retries 1" in text
    make_job()
    assert 'id="attempts-head"' not in page(viewer, complete(runner).pk)
    make_job()
    assert 'id="attempts-head"' in page(viewer, fail(runner).pk)


def test_only_pictures_of_the_last_take_are_results(viewer: Client) -> None:
    make_job()
    runner = make_runner()
    claimed = claim(runner)
    old = add_picture(claimed)
    Job.objects.filter(pk=claimed.job_id).update(take=2)
    new = OutputImage(**{f.name: getattr(old, f.name) for f in OutputImage._meta.fields if f.name != "id"})
    new.take = 2
    new.save(force_insert=True)
    text = page(viewer, claimed.job_id)
    assert f"/outputs/{new.pk}/" in text
    assert f"/outputs/{old.pk}/" not in text
    listed = markup(viewer.get(reverse("jobs")))
    assert f"/outputs/{new.pk}/" in listed
    assert f"/outputs/{old.pk}/" not in listed


def test_jobs_show_has_the_envelope_and_how_the_job_was_executed(console: Console) -> None:
    make_job()
    failed = fail_in_retry(make_runner())
    document = console.json("jobs", "show", failed.pk)
    assert document["error"] == failed.error
    assert document["error_code"] == "WEBUI_CONNECTION_LOST"
    assert document["execution_metadata"]["retry_count"] == 1
    assert document["execution_metadata"]["executions"] == 2
    attempts = document["execution_metadata"]["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["server_error", "unavailable"]
    assert [len(attempt["artifact_paths"]) for attempt in document["stage_attempts"]] == [4, 2]


def test_jobs_show_tells_people_the_same(console: Console, settings: Settings) -> None:
    make_job()
    failed = fail_in_retry(make_runner())
    assert failed.error is not None
    assert console.run("jobs", "show", failed.pk) == 0
    text = console.out
    assert f"error     WEBUI_CONNECTION_LOST in txt2img: {failed.error['message']}" in text
    assert failed.error["remediation"] in text
    assert str(settings.STABLENEW_OUTPUT_DIR / failed.error["artifact_paths"][0]) in text
    assert "server_error" in text
    assert "1 of 3" in text
