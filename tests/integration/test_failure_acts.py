"""Acts on failures in the admin: asked with the number, done by the services, told with links; history stays."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from jobs.bulk import acts
from jobs.lifecycle import EventType, JobStatus
from jobs.models import BulkAction, Job, LifecycleEvent, QueueControl, Runner
from tests.factories import make_job, make_node, make_runner, make_user, submit
from tests.integration.failed_jobs import begin_retry, fail_in_retry
from tests.integration.finished_jobs import claim, complete
from tests.integration.questions import ASK, START, confirm, hidden
from tests.markup import markup

pytestmark = pytest.mark.django_db

LIST = "admin:diagnostics_failedjob_changelist"
PAGE = "admin:diagnostics_failedjob_change"


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def runner() -> Runner:
    return make_runner(make_node("alpha"))


def staff(client: Client, *permissions: str) -> Client:
    user = make_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


@pytest.fixture
def ada(client: Client) -> Client:
    """Staff who may see failures and change jobs."""
    return staff(client, "view_failedjob", "change_job")


def failures(runner: Runner, count: int) -> list[Job]:
    submit(repeat=count)
    return [fail_in_retry(runner) for _ in range(count)]


def ask(client: Client, action: str, *jobs: Job, query: str = "", **fields: Any) -> HttpResponse:
    """What the list of failures sends when an action is chosen."""
    form = {"action": action, "_selected_action": [job.pk for job in jobs], "index": "0", **fields}
    return client.post(f"{reverse(LIST)}{query}", form)  # type: ignore[return-value]


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def test_run_again_asks_with_the_number_and_names_the_new_jobs(ada: Client, runner: Runner) -> None:
    first, second = failures(runner, 2)
    asked = ask(ada, "run_again", first, second, query="?cause=WEBUI_CONNECTION_LOST")
    text = text_of(asked)
    assert "Run 2 finished jobs again?" in text
    assert Job.objects.count() == 2, "asking changes nothing"
    told = confirm(ada, asked)
    made = list(Job.objects.filter(rerun_of__in=[first, second]).order_by("id"))
    assert len(made) == 2
    assert "<title>Failures |" in told
    assert "2 finished jobs queued again. New: " in told
    for job in made:
        assert f'<a href="{reverse("job", args=[job.pk])}">job {job.pk}</a>' in told
        assert job.queued_by == "ada"
    assert hidden(text)["next"] == [f"{reverse(LIST)}?cause=WEBUI_CONNECTION_LOST"]
    first.refresh_from_db()
    assert first.status == JobStatus.FAILED
    assert not first.needs_attention


def test_a_form_that_is_sent_twice_runs_nothing_twice(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    asked = ask(ada, "run_again", job)
    confirm(ada, asked)
    told = confirm(ada, asked)
    assert Job.objects.filter(rerun_of=job).count() == 1
    assert "Nothing was done. 1 job was left alone: not finished, or already run again." in told


def test_dismiss_tells_who_and_keeps_the_failure(ada: Client, runner: Runner) -> None:
    first, second = failures(runner, 2)
    Job.objects.filter(pk=second.pk).update(needs_attention=False)
    asked = ask(ada, "dismiss", first, second)
    text = text_of(asked)
    assert "Dismiss 1 failure?" in text
    assert "1 other that you chose is not in need of attention." in text
    assert "1 failure dismissed." in confirm(ada, asked)
    first.refresh_from_db()
    assert (first.status, first.needs_attention) == (JobStatus.FAILED, False)
    event = LifecycleEvent.objects.get(job=first, event_type=EventType.DISMISSED)
    assert event.data["by"] == "ada"


def test_cancel_ends_what_waits_and_asks_what_runs(ada: Client, runner: Runner) -> None:
    """Jobs that needed their retry stand in the list while they run it."""
    submit(repeat=2)
    ended = fail_in_retry(runner)
    waiting = claim(runner)
    begin_retry(waiting)
    Job.objects.filter(pk=waiting.job_id).update(
        status=JobStatus.QUEUED, owner="", run_token=None, lease_until=None
    )
    QueueControl.objects.update(queued=1, running=0)
    other = make_runner(make_node("beta"))
    running = make_job(run_now=True)
    begin_retry(claim(other))
    jobs = [ended, Job.objects.get(pk=waiting.job_id), running]
    asked = ask(ada, "cancel", *jobs, query="?kind=retried")
    assert "Cancel 2 jobs?" in text_of(asked)
    told = confirm(ada, asked)
    assert f"Job {running.pk} is running; it ends with the answer to its interrupted request." in told
    assert "1 waiting job cancelled." in told
    assert Job.objects.get(pk=waiting.job_id).status == JobStatus.CANCELLED
    running.refresh_from_db()
    assert (running.status, running.cancel_requested_by) == (JobStatus.RUNNING, "ada")


def test_an_act_that_applies_to_nothing_says_so_on_the_list(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    answer = ask(ada, "cancel", job, query="?kind=attention")
    assert answer["Location"] == f"{reverse(LIST)}?kind=attention"
    told = text_of(ada.get(answer["Location"]))
    assert "Nothing was done. The job that you chose is already ended or being cancelled." in told


def test_the_page_of_a_failure_has_what_applies_as_buttons(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    where = reverse(PAGE, args=[job.pk])
    text = text_of(ada.get(where))
    assert f"Run job {job.pk} again" in text
    assert f"Cancel job {job.pk}" not in text
    fields = {**hidden(text, ASK), "verb": "retry"}
    ada.post(ASK, fields)
    assert ada.post(ASK, fields)["Location"] == where
    answer = ada.get(where)
    [made] = Job.objects.filter(rerun_of=job)
    assert f'<a href="{reverse("job", args=[made.pk])}">'.encode() in answer.content, "a link, not its text"
    told = text_of(answer)
    assert "1 finished job queued again. New: <a" in told
    assert "Nothing was done. 1 job was left alone" in told, "the button was pressed twice"
    assert f"It was run again by ada as job {made.pk}, which waits in the queue." in told
    assert "Dismiss</button>" not in told


def test_dismissing_from_the_page_of_a_failure_asks_first(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    page = text_of(ada.get(reverse(PAGE, args=[job.pk])))
    asked = ada.post(ASK, {**hidden(page, ASK), "verb": "dismiss"})
    assert "Dismiss 1 failure?" in text_of(asked)
    job.refresh_from_db()
    assert job.needs_attention
    assert "1 failure dismissed." in confirm(ada, asked)
    assert "The failure was dismissed by ada at" in text_of(ada.get(reverse(PAGE, args=[job.pk])))


def test_all_that_are_listed_are_taken_and_the_list_says_how_many_that_are(
    ada: Client, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = failures(runner, 4)
    for module in ("diagnostics.admin", "diagnostics.failures.filters"):
        monkeypatch.setattr(f"{module}.MAX_LISTED", 3)
    assert "at most 1,000 are listed" in text_of(ada.get(reverse(LIST)))
    asked = ask(ada, "dismiss", jobs[0], select_across="1")
    assert "Dismiss 3 failures?" in text_of(asked)
    confirm(ada, asked)
    assert list(Job.objects.filter(needs_attention=True)) == [jobs[0]]


def test_a_great_act_goes_on_at_its_own_page(
    ada: Client, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "CHUNK", 2)
    jobs = failures(runner, 3)
    answer = ada.post(START, hidden(text_of(ask(ada, "dismiss", *jobs))))
    action = BulkAction.objects.get()
    assert action.total == 3
    assert answer["Location"].startswith(reverse("bulk", args=[action.pk]))
    assert f"next={quote(reverse(LIST), safe='')}" in answer["Location"]


@pytest.mark.parametrize("permissions", [("view_failedjob",), ("view_failedjob", "view_job")])
def test_without_the_permissions_nothing_is_offered_and_nothing_is_done(
    client: Client, runner: Runner, permissions: tuple[str, ...]
) -> None:
    [job] = failures(runner, 1)
    staff(client, *permissions)
    for page in (client.get(reverse(LIST)), client.get(reverse(PAGE, args=[job.pk]))):
        assert "again</" not in markup(page)
    assert b"Dismiss 1" not in ask(client, "dismiss", job).content
    for where in (ASK, START):
        assert client.post(where, {"verb": "dismiss", "job": job.pk}).status_code == 403
    job.refresh_from_db()
    assert job.needs_attention


def test_history_cannot_be_edited_at_any_address_of_the_admin(client: Client, runner: Runner) -> None:
    """Not even by a superuser, and whatever is posted."""
    [job] = failures(runner, 1)
    complete_id = submit().job_ids[0]
    complete(runner)
    client.force_login(make_user("root", is_superuser=True, is_staff=True))

    def stored() -> list[Any]:
        models = (Job, LifecycleEvent, type(job.attempts.get(run_number=1)))
        return [list(model._default_manager.order_by("pk").values()) for model in models]

    before = stored()
    names = ("failedjob", "job", "lifecycleevent", "stageattempt", "historyentry")
    for model in names:
        app = "diagnostics" if model == "failedjob" else "jobs"
        for pk in (job.pk, complete_id):
            form = {
                "status": "COMPLETED",
                "error": "",
                "error_code": "",
                "post": "yes",
                "attempts-0-DELETE": "on",
            }
            for page in ("change", "delete"):
                answer = client.post(reverse(f"admin:{app}_{model}_{page}", args=[pk]), form)
                assert answer.status_code in (302, 403)
        assert client.post(reverse(f"admin:{app}_{model}_add"), {"id": "1"}).status_code == 403
        deleted = {"action": "delete_selected", "_selected_action": [job.pk], "post": "yes"}
        client.post(reverse(f"admin:{app}_{model}_changelist"), deleted)
    assert stored() == before


def test_only_the_acts_of_the_services_are_actions_of_the_admin(client: Client) -> None:
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    request = client.get(reverse(LIST)).wsgi_request
    for model, registered in django_admin.site._registry.items():
        if model._meta.app_label in ("jobs", "webui", "diagnostics"):
            expected = {"run_again", "cancel", "dismiss"} if model.__name__ == "FailedJob" else set()
            assert set(registered.get_actions(request)) == expected, model


def test_list_of_failures_that_need_attention(ada: Client, runner: Runner) -> None:
    first, second = failures(runner, 2)
    confirm(ada, ask(ada, "dismiss", first))
    answer = ada.get(f"{reverse(LIST)}?kind=attention")
    assert [job.pk for job in answer.context["cl"].result_list] == [second.pk]
    assert "Failed after its retry, needs attention" in text_of(answer)
