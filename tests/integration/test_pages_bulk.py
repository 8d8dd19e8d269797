"""Acts on many jobs from a page: what is done at once, what asks first, how a long one goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from django.test import Client
from django.urls import reverse

from jobs.bulk import acts
from jobs.lifecycle import JobStatus, Priority
from jobs.models import BulkAction, BulkVerb, Job, QueueControl
from jobs.reading.lists import queued
from tests.factories import make_job, make_pack, make_runner, make_user, submit
from tests.integration.finished_jobs import claim, complete, fail
from tests.integration.questions import ASK, START, confirm, hidden
from tests.markup import markup

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def order() -> list[int]:
    return [line.id for line in queued().lines]


def text_of(client: Client, url: str, form: Mapping[str, object]) -> str:
    answer = client.post(url, dict(form), follow=True)
    assert answer.status_code == 200
    return markup(answer)


# --- at once -----------------------------------------------------------------------------------------
def test_selection_moves_to_the_front_at_once_and_keeps_its_order(operator: Client) -> None:
    a, b, c, d = submit(repeat=4).job_ids
    answer = operator.post(ASK, {"verb": "front", "job": [d, c], "next": "/?pack=x"}, follow=True)
    assert answer.redirect_chain == [("/?pack=x", 302)]
    assert "2 waiting jobs moved to the front." in markup(answer)
    assert order() == [c, d, a, b]


def test_row_button_acts_on_its_row_alone_whatever_is_chosen(operator: Client) -> None:
    a, b, c = submit(repeat=3).job_ids
    form = {"row": f"front.{c}", "verb": "cancel", "job": [a, b], "all": "1"}
    assert "1 waiting job moved to the front." in text_of(operator, ASK, form)
    assert order() == [c, a, b]
    text_of(operator, ASK, {"row": f"priority.{a}.{Priority.HIGH.value}", "priority": "30"})
    assert order() == [a, c, b]
    assert Job.objects.get(pk=a).priority == Priority.HIGH


def test_priority_of_a_selection_is_the_one_that_was_chosen(operator: Client) -> None:
    a, b, _ = submit(repeat=3).job_ids
    said = text_of(operator, ASK, {"verb": "priority", "priority": "30", "job": [a, b]})
    assert "2 waiting jobs now with low priority." in said
    assert set(Job.objects.filter(priority=Priority.LOW).values_list("pk", flat=True)) == {a, b}


def test_button_in_a_list_gets_a_message_and_the_list_is_asked_for_again(operator: Client) -> None:
    a, b = submit(repeat=2).job_ids
    answer = operator.post(ASK, {"row": f"back.{a}"}, headers=HTMX)
    assert json.loads(answer["HX-Trigger-After-Swap"]) == {"moved": {}}
    assert "1 waiting job moved to the back." in markup(answer)
    assert "<html" not in markup(answer)
    assert order() == [b, a]


def test_jobs_that_changed_meanwhile_are_left_alone_and_counted(operator: Client) -> None:
    runner = make_runner()
    a, b = submit(repeat=2).job_ids
    complete(runner)
    said = text_of(operator, ASK, {"verb": "back", "job": [a, b]})
    assert "1 waiting job moved to the back. 1 job was left alone: no longer waiting." in said


def test_retry_of_a_selection_makes_new_jobs_from_the_same_records(operator: Client) -> None:
    runner = make_runner()
    submit(repeat=2)
    failed = [fail(runner), fail(runner)]
    said = text_of(operator, ASK, {"verb": "retry", "job": [job.pk for job in failed], "scope": "finished"})
    made = Job.objects.filter(status=JobStatus.QUEUED).order_by("id")
    links = ", ".join(f'<a href="/jobs/{job.pk}/">job {job.pk}</a>' for job in made)
    assert f"2 finished jobs queued again. New: {links}." in said
    assert {job.record_id for job in made} == {job.record_id for job in failed}
    assert not Job.objects.filter(needs_attention=True).exists()


# --- asked first -------------------------------------------------------------------------------------
@pytest.mark.parametrize("chosen", ["selection", "all"])
def test_cancel_asks_with_the_exact_number_before_anything_happens(operator: Client, chosen: str) -> None:
    wanted = submit(make_pack("castles"), repeat=3).job_ids
    submit(make_pack("ships"), repeat=2)
    form: dict[str, object] = {"verb": "cancel", "next": "/?pack=castles"}
    form |= {"job": wanted} if chosen == "selection" else {"all": "1", "filter-pack": "castles"}
    text = text_of(operator, ASK, form)
    assert "Cancel 3 waiting jobs" in text
    assert 'href="/?pack=castles"' in text
    assert Job.objects.filter(status=JobStatus.CANCELLED).count() == 0
    answer = operator.post(START, hidden(text), follow=True)
    assert answer.redirect_chain == [("/?pack=castles", 302)]
    assert "3 waiting jobs cancelled." in markup(answer)
    assert set(Job.objects.filter(status=JobStatus.CANCELLED).values_list("pk", flat=True)) == set(wanted)


def test_row_button_asks_before_it_cancels_where_there_is_no_script(operator: Client) -> None:
    a, b = submit(repeat=2).job_ids
    text = markup(operator.get(reverse("queue")))
    assert f'name="row" value="cancel.{a}"' in text
    asked = text_of(operator, ASK, {"row": f"cancel.{a}", "job": [b]})
    assert "Cancel 1 waiting job?" in asked
    assert "It has not started." in asked
    operator.post(START, hidden(asked))
    assert list(Job.objects.filter(status=JobStatus.CANCELLED).values_list("pk", flat=True)) == [a]


def test_question_tells_what_of_a_selection_is_left_alone(operator: Client) -> None:
    runner = make_runner()
    gone, left = submit(repeat=2).job_ids
    complete(runner)
    asked = operator.post(ASK, {"verb": "cancel", "job": [gone, left]})
    text = markup(asked)
    assert "Cancel 1 waiting job?" in text
    assert "1 other that you chose is already ended or being cancelled." in text
    assert hidden(text)["job"] == [str(left)]
    assert "left alone" not in confirm(operator, asked)


def test_cancel_of_a_selection_asks_what_runs_to_stop_and_says_so_first(operator: Client) -> None:
    running, waiting = submit(repeat=2).job_ids
    claim(make_runner())
    asked = operator.post(ASK, {"verb": "cancel", "job": [running, waiting]})
    text = markup(asked)
    assert "Cancel 2 jobs?" in text
    assert "Running jobs end as soon as their request is interrupted." in text
    told = confirm(operator, asked)
    assert f"Job {running} is running; it ends with the answer to its interrupted request." in told
    assert "1 waiting job cancelled." in told
    assert Job.objects.get(pk=running).cancel_requested_by == "otto"
    assert Job.objects.get(pk=waiting).status == JobStatus.CANCELLED
    again = text_of(operator, ASK, {"verb": "cancel", "job": [running, waiting]})
    assert "Nothing was done. The 2 jobs that you chose are already ended or being cancelled." in again


def test_cancel_that_was_asked_about_waiting_jobs_spares_what_began_to_run_meanwhile(
    operator: Client,
) -> None:
    [job_id] = submit().job_ids
    asked = operator.post(ASK, {"verb": "cancel", "job": job_id})
    claim(make_runner())
    assert "1 job was left alone" in confirm(operator, asked)
    assert Job.objects.get(pk=job_id).cancel_requested_at is None


def test_question_that_is_answered_twice_runs_nothing_twice(operator: Client) -> None:
    runner = make_runner()
    submit(repeat=2)
    for _ in range(2):
        complete(runner)
    asked = operator.post(ASK, {"verb": "retry", "all": "1", "scope": "finished"})
    assert "2 finished jobs queued again." in confirm(operator, asked)
    told = confirm(operator, asked)
    assert "Nothing was done. 2 jobs were left alone: not finished, or already run again." in told
    assert Job.objects.filter(rerun_of__isnull=False).count() == 2


def test_all_that_match_asks_even_for_a_harmless_act(operator: Client) -> None:
    submit(make_pack("castles"), repeat=3)
    before = order()
    text = text_of(operator, ASK, {"verb": "back", "all": "1", "filter-pack": "castles"})
    assert "Move 3 waiting jobs of pack castles to the back?" in text
    assert order() == before
    assert not BulkAction.objects.exists()


def test_question_takes_the_place_of_the_page_when_a_list_button_asked(operator: Client) -> None:
    submit(repeat=3)
    answer = operator.post(ASK, {"verb": "front", "all": "1"}, headers=HTMX)
    assert answer["HX-Retarget"] == "#main"
    assert "Move 3 waiting jobs to the front?" in markup(answer)
    assert "<html" not in markup(answer)


def test_failures_of_one_cause_run_again_after_the_question(operator: Client) -> None:
    runner = make_runner()
    submit(repeat=3)
    failed = [fail(runner) for _ in range(3)]
    form = {"verb": "retry", "all": "1", "scope": "finished", "filter-cause": failed[0].error_code}
    text = text_of(operator, ASK, {**form, "filter-attention": "1"})
    assert f"Run 3 finished jobs that failed with {failed[0].error_code}, that need attention again?" in text
    answer = operator.post(START, hidden(text), follow=True)
    assert "3 finished jobs queued again." in markup(answer)
    assert not Job.objects.filter(needs_attention=True).exists()


def test_dismiss_asks_and_then_takes_the_failures_off_the_list(operator: Client) -> None:
    runner = make_runner()
    submit()
    failed = fail(runner)
    text = text_of(operator, ASK, {"verb": "dismiss", "job": failed.pk, "scope": "finished"})
    assert "Dismiss 1 failure?" in text
    answer = operator.post(START, hidden(text), follow=True)
    assert "1 failure dismissed." in markup(answer)
    failed.refresh_from_db()
    assert (failed.status, failed.needs_attention) == (JobStatus.FAILED, False)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({}, "the form did not say what to do"),
        ({"verb": "explode", "job": "1"}, "the form did not say what to do"),
        ({"verb": "front"}, "no job is chosen"),
        ({"verb": "front", "job": ["x", "٣", "9" * 30]}, "no job is chosen"),
        ({"verb": "priority", "job": "1", "priority": "15"}, "choose the new priority first"),
        ({"row": "priority.1.x"}, "choose the new priority first"),
        ({"row": "front."}, "the form did not say what to do"),
    ],
)
@pytest.mark.parametrize("url", [ASK, START])
def test_unclear_form_does_nothing_and_says_what_is_missing(
    operator: Client, url: str, form: dict[str, object], reason: str
) -> None:
    make_job()
    answer = operator.post(url, form, follow=True)
    assert answer.redirect_chain == [(reverse("queue"), 302)]
    assert reason in markup(answer)
    assert not BulkAction.objects.exists()


def test_selection_that_is_gone_says_so(operator: Client) -> None:
    runner = make_runner()
    [gone] = submit().job_ids
    complete(runner)
    said = text_of(operator, ASK, {"verb": "cancel", "job": gone})
    assert "Nothing was done. The job that you chose is already ended or being cancelled." in said
    assert "No job matches any more" in text_of(operator, ASK, {"verb": "cancel", "all": "1"})
    assert "No waiting job matches any more" in text_of(operator, START, {"verb": "cancel", "all": "1"})


def test_forms_never_lead_to_another_server(operator: Client) -> None:
    [job_id] = submit().job_ids
    elsewhere = "https://elsewhere.example/"
    answer = operator.post(ASK, {"verb": "front", "job": job_id, "next": elsewhere})
    assert answer["Location"] == reverse("queue")
    act = acts.start(BulkVerb.BACK, [job_id], by="ada")
    text = markup(operator.get(f"{reverse('bulk', args=[act.pk])}?next={elsewhere}"))
    assert "elsewhere" not in text


# --- a long one --------------------------------------------------------------------------------------
@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "CHUNK", 2)


@pytest.mark.usefixtures("small_chunks")
def test_long_act_goes_on_chunk_by_chunk_on_its_own_page(operator: Client) -> None:
    submit(repeat=5)
    answer = operator.post(START, {"verb": "cancel", "all": "1", "next": "/?pack=x"}, follow=True)
    act = BulkAction.objects.get()
    page, advance = reverse("bulk", args=[act.pk]), reverse("bulk-advance", args=[act.pk])
    assert answer.redirect_chain == [(f"{page}?next=%2F%3Fpack%3Dx", 302)]
    text = markup(answer)
    assert "Cancelling 5 waiting jobs" in text
    assert "0 of 5" in text
    assert f'hx-post="{advance}"' in text
    told = markup(operator.post(advance, {"next": "/?pack=x"}, headers=HTMX))
    assert "2 of 5" in told
    assert '<progress max="100" value="40"' in told
    assert "2 of 5" in markup(operator.get(page))
    operator.post(advance, headers=HTMX)
    told = markup(operator.post(advance, {"next": "/?pack=x"}, headers=HTMX))
    assert "5 waiting jobs cancelled." in told
    assert "hx-post" not in told
    assert 'href="/?pack=x"' in told
    control = QueueControl.objects.get()
    assert (control.queued, control.cancelled, control.submitted) == (0, 5, 5)


@pytest.mark.usefixtures("small_chunks")
def test_button_goes_on_where_there_is_no_script(operator: Client) -> None:
    submit(repeat=3)
    operator.post(START, {"verb": "cancel", "all": "1"})
    act = BulkAction.objects.get()
    said = text_of(operator, reverse("bulk-advance", args=[act.pk]), {})
    assert "2 of 3" in said
    assert "Go on" in said


@pytest.mark.usefixtures("small_chunks")
def test_stopped_act_keeps_what_it_did_and_says_what_it_left(operator: Client) -> None:
    submit(repeat=5)
    operator.post(START, {"verb": "cancel", "all": "1"})
    act = BulkAction.objects.get()
    acts.advance(act.pk)
    said = text_of(operator, reverse("bulk-stop", args=[act.pk]), {})
    assert "2 waiting jobs cancelled. otto stopped it; 3 were left as they are." in said
    operator.post(reverse("bulk-advance", args=[act.pk]), headers=HTMX)
    assert Job.objects.filter(status=JobStatus.QUEUED).count() == 3


@pytest.mark.usefixtures("small_chunks")
def test_viewer_sees_how_far_an_act_is_and_does_not_drive_it(client: Client) -> None:
    submit(repeat=3)
    act = acts.start(BulkVerb.CANCEL, list(Job.objects.values_list("pk", flat=True)), by="ada")
    client.force_login(make_user())
    text = markup(client.get(reverse("bulk", args=[act.pk])))
    assert "Cancelling 3 waiting jobs" in text
    for word in ("hx-post", "Go on", "Stop here"):
        assert word not in text


def test_act_that_never_was_is_not_found(operator: Client) -> None:
    assert operator.get(reverse("bulk", args=[999])).status_code == 404
    assert operator.post(reverse("bulk-advance", args=[999])).status_code == 404
    assert operator.post(reverse("bulk-stop", args=[999])).status_code == 404
