"""Acts on failures in the admin: asked with the number, done by the services, told with links; history stays."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from diagnostics.failures import act_views
from diagnostics.failures import acts as failure_acts
from diagnostics.failures.acts import Act, ChosenFailures, choose, perform
from jobs.bulk import acts
from jobs.lifecycle import EventType, JobStatus
from jobs.models import BulkAction, Job, LifecycleEvent, QueueControl, Runner
from tests.factories import make_job, make_node, make_runner, make_user, submit
from tests.integration.failed_jobs import begin_retry, fail_in_retry
from tests.integration.finished_jobs import claim, complete

pytestmark = pytest.mark.django_db

LIST = "admin:diagnostics_failedjob_changelist"
PAGE = "admin:diagnostics_failedjob_change"
ACT = "admin:diagnostics_failedjob_act"


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
    return html.unescape(answer.content.decode())


def fields_of(text: str) -> dict[str, str]:
    """The hidden fields of the form that acts."""
    form = text.partition(f'action="{reverse(ACT)}"')[2].partition("</form>")[0]
    found = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    found.pop("csrfmiddlewaretoken")
    return found


def confirm(client: Client, asked: Any) -> str:
    """Press the button of the page that asks; the page that it leads to."""
    return text_of(client.post(reverse(ACT), fields_of(text_of(asked)), follow=True))


def test_run_again_asks_with_the_number_and_names_the_new_jobs(ada: Client, runner: Runner) -> None:
    first, second = failures(runner, 2)
    asked = ask(ada, "run_again", first, second, query="?cause=WEBUI_CONNECTION_LOST")
    text = text_of(asked)
    assert "Run 2 jobs again?" in text
    assert "from the very same record" in text
    assert Job.objects.count() == 2, "asking changes nothing"
    told = confirm(ada, asked)
    made = list(Job.objects.filter(rerun_of__in=[first, second]).order_by("id"))
    assert len(made) == 2
    assert "2 jobs were queued again: " in told
    for job in made:
        assert f'<a href="{reverse("job", args=[job.pk])}">job {job.pk}</a>' in told
        assert job.queued_by == "ada"
    assert fields_of(text)["next"] == f"{reverse(LIST)}?cause=WEBUI_CONNECTION_LOST"
    first.refresh_from_db()
    assert first.status == JobStatus.FAILED
    assert not first.needs_attention


def test_a_form_that_is_sent_twice_runs_nothing_twice(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    fields = fields_of(text_of(ask(ada, "run_again", job)))
    ada.post(reverse(ACT), fields)
    told = text_of(ada.post(reverse(ACT), fields, follow=True))
    assert Job.objects.filter(rerun_of=job).count() == 1
    assert "No job was queued again. Left alone: 1 (not ended yet, or run again meanwhile)." in told


def test_dismiss_tells_who_and_keeps_the_failure(ada: Client, runner: Runner) -> None:
    first, second = failures(runner, 2)
    Job.objects.filter(pk=second.pk).update(needs_attention=False)
    asked = ask(ada, "dismiss", first, second)
    text = text_of(asked)
    assert "Dismiss 1 failure?" in text
    assert "1 of the chosen 2 is left alone: nothing that needs attention." in text
    assert "1 failure was dismissed." in confirm(ada, asked)
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
    assert "2 jobs were cancelled. Still running until its request is interrupted: " in told
    assert Job.objects.get(pk=waiting.job_id).status == JobStatus.CANCELLED
    running.refresh_from_db()
    assert (running.status, running.cancel_requested_by) == (JobStatus.RUNNING, "ada")


def test_an_act_that_applies_to_nothing_offers_no_button(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    text = text_of(ask(ada, "cancel", job))
    assert "The chosen job is left alone: ended, or being cancelled already." in text
    assert f'action="{reverse(ACT)}"' not in text


def test_the_page_of_a_failure_has_what_applies_as_buttons(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    where = reverse(PAGE, args=[job.pk])
    text = text_of(ada.get(where))
    assert f"Run job {job.pk} again" in text
    assert f"Cancel job {job.pk}" not in text
    answer = ada.post(reverse(ACT), fields_of(text), follow=True)
    [made] = Job.objects.filter(rerun_of=job)
    assert f'<a href="{reverse("job", args=[made.pk])}">'.encode() in answer.content, "a link, not its text"
    told = text_of(answer)
    assert "1 job was queued again: <a" in told
    assert f"It was run again by ada as job {made.pk}, which waits in the queue." in told
    assert "Dismiss</button>" not in told


def test_dismissing_from_the_page_of_a_failure_asks_first(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    page = text_of(ada.get(reverse(PAGE, args=[job.pk])))
    forms = [
        fields_of(f'action="{reverse(ACT)}"{form}') for form in page.split(f'action="{reverse(ACT)}"')[1:]
    ]
    assert [form["act"] for form in forms] == ["run-again", "dismiss"]
    asked = ada.post(reverse(ACT), forms[1])
    assert "Dismiss 1 failure?" in text_of(asked)
    job.refresh_from_db()
    assert job.needs_attention
    assert "1 failure was dismissed." in confirm(ada, asked)
    assert "The failure was dismissed by ada at" in text_of(ada.get(reverse(PAGE, args=[job.pk])))


def test_all_that_a_filter_leaves_are_taken_up_to_a_bound_that_is_said(
    ada: Client, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = failures(runner, 4)
    for module in (failure_acts, act_views):
        monkeypatch.setattr(module, "MAX_CHOSEN", 3)
    monkeypatch.setattr("diagnostics.admin.MAX_CHOSEN", 3)
    asked = ask(ada, "dismiss", jobs[0], select_across="1")
    text = text_of(asked)
    assert "Dismiss 3 failures?" in text
    assert "Only the newest 3 that the filter leaves are taken." in text
    confirm(ada, asked)
    assert list(Job.objects.filter(needs_attention=True)) == [jobs[0]]


def test_a_great_act_goes_on_at_its_own_page(
    ada: Client, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "CHUNK", 2)
    jobs = failures(runner, 3)
    answer = ada.post(reverse(ACT), fields_of(text_of(ask(ada, "dismiss", *jobs))))
    action = BulkAction.objects.get()
    assert (action.done, action.total) == (2, 3)
    assert answer["Location"].startswith(reverse("bulk", args=[action.pk]))
    assert Job.objects.filter(needs_attention=True).count() == 1


@pytest.mark.parametrize(
    "permissions", [("view_failedjob",), ("view_failedjob", "view_job"), ("change_job",)]
)
def test_without_the_permissions_nothing_is_offered_and_nothing_is_done(
    client: Client, runner: Runner, permissions: tuple[str, ...]
) -> None:
    [job] = failures(runner, 1)
    staff(client, *permissions)
    if "view_failedjob" in permissions:
        for page in (client.get(reverse(LIST)), client.get(reverse(PAGE, args=[job.pk]))):
            assert "again</" not in page.content.decode()
        assert b"Dismiss 1" not in ask(client, "dismiss", job).content
    fields = {"act": "dismiss", "jobs": str(job.pk), "sure": "yes"}
    assert client.post(reverse(ACT), fields).status_code == 403
    job.refresh_from_db()
    assert job.needs_attention


def test_nothing_is_done_by_looking_or_by_forms_that_say_nothing(ada: Client, runner: Runner) -> None:
    [job] = failures(runner, 1)
    assert ada.get(reverse(ACT)).status_code == 405
    for fields in ({}, {"act": "delete", "jobs": str(job.pk)}, {"act": "dismiss", "jobs": "x,-1,"}):
        told = text_of(ada.post(reverse(ACT), {**fields, "sure": "yes"}, follow=True))
        assert "Nothing was chosen, so nothing was done." in told
    away = {"act": "dismiss", "jobs": str(job.pk), "sure": "yes", "next": "https://example.com/"}
    assert ada.post(reverse(ACT), away)["Location"] == reverse(LIST)


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


def test_what_changed_between_question_and_act_is_left_alone(runner: Runner) -> None:
    first, second = failures(runner, 2)
    choice = choose(Act.DISMISS, [first.pk, second.pk, second.pk])
    assert choice == ChosenFailures(
        Act.DISMISS, (first.pk, second.pk), (first.pk, second.pk), choice.newest_id
    )
    Job.objects.filter(pk=first.pk).update(needs_attention=False)
    done = perform(choice, by="ada")
    assert (done.count, done.left_alone) == (1, 1)


def test_list_of_failures_that_need_attention(ada: Client, runner: Runner) -> None:
    first, second = failures(runner, 2)
    perform(choose(Act.DISMISS, [first.pk]), by="ada")
    answer = ada.get(f"{reverse(LIST)}?kind=attention")
    assert [job.pk for job in answer.context["cl"].result_list] == [second.pk]
    assert "Failed after its retry, needs attention" in text_of(answer)
