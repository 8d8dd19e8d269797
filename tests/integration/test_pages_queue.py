"""The queue page, its poll, the lists, and the buttons that steer."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from jobs.bulk import acts
from jobs.lifecycle import JobStatus, Priority
from jobs.models import BulkVerb, Job, QueueControl, Runner
from jobs.queue import control, search
from jobs.queue.filters import JobFilter
from jobs.reading.lists import history, queued
from jobs.reading.live import live_version
from jobs.templatetags.jobs_outlook import roughly
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, make_user, submit
from tests.film_jobs import make_film_pack
from tests.integration.finished_jobs import claim, complete, fail
from tests.markup import markup
from webui.models import Node, NodeState, Wish

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def page(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return markup(answer)


def poll_address(version: object = None) -> str:
    version = live_version() if version is None else version
    return f"{reverse('queue-live')}?version={version}&lists={str(version).split('.')[0]}"


def queries_of(act: Callable[[], object]) -> list[str]:
    """Without the question for the server's clock, which an embedded database need not be asked."""
    act()
    with CaptureQueriesContext(connection) as caught:
        act()
    asked = [query["sql"] for query in caught.captured_queries]
    return [sql for sql in asked if "clock_timestamp" not in sql]


def own_queries(client: Client, url: str) -> list[str]:
    """Without those that say who is logged in."""
    return [
        sql
        for sql in queries_of(lambda: client.get(url, headers=HTMX))
        if "django_session" not in sql and "auth_" not in sql
    ]


def test_unchanged_poll_is_204_with_one_query(viewer: Client) -> None:
    submit(repeat=3)
    make_running_job()
    url = poll_address()
    assert viewer.get(url, headers=HTMX).status_code == 204
    assert len(own_queries(viewer, url)) == 1


def test_poll_answers_after_a_move_a_progress_a_pause_and_a_lost_worker(viewer: Client) -> None:
    runner = make_runner()
    changes: list[Callable[[], object]] = [
        submit,
        lambda: control.pause(by="ada"),
        lambda: Runner.objects.filter(pk=runner.pk).update(progress_version=5),
        lambda: Runner.objects.filter(pk=runner.pk).update(
            heartbeat_at=timezone.now() - timedelta(minutes=1)
        ),
    ]
    for change in changes:
        url = poll_address()
        assert viewer.get(url, headers=HTMX).status_code == 204
        change()
        assert viewer.get(url, headers=HTMX).status_code == 200


def test_progress_alone_does_not_send_the_lists_again(viewer: Client) -> None:
    job, claimed = make_running_job()
    url = poll_address()
    Runner.objects.filter(pk=claimed.runner_id).update(progress_version=9)
    assert 'id="lists"' not in markup(viewer.get(url, headers=HTMX))
    submit()
    assert 'id="lists"' in markup(viewer.get(url, headers=HTMX))
    assert job.pk


def test_query_counts_do_not_grow_with_the_queue(viewer: Client) -> None:
    runner = make_runner()
    urls = [reverse(name) for name in ("queue", "history", "jobs", "packs", "events")]

    def counts() -> list[int]:
        return [len(queries_of(lambda url=url: viewer.get(url))) for url in urls]  # type: ignore[misc]

    submit(repeat=6)
    for _ in range(3):
        complete(runner)
    few = counts()
    for number in range(10):
        submit(make_pack(f"other{number}"), repeat=5)
    for _ in range(15):
        complete(runner)
    assert counts() == few
    # The home page: who asks (4), everything it tells of now (9), its list (3), filters (4), pictures (2).
    assert max(few) < 22


def test_ledger_is_shown_and_every_count_is_a_link(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=5)
    complete(runner)
    fail(runner)
    text = page(viewer, reverse("queue"))
    assert "5 submitted = 3 queued + 0 running + 1 completed + 1 failed + 0 cancelled" in text
    for address in (
        "#queue-head",
        "?status=COMPLETED",
        "?status=FAILED",
        "?status=CANCELLED",
        reverse("jobs"),
    ):
        assert address in text


def test_running_job_shows_stage_step_and_time(viewer: Client) -> None:
    job, claimed = make_running_job()
    Runner.objects.filter(pk=claimed.runner_id).update(
        progress={
            "job_id": job.pk,
            "stage": "txt2img",
            "stage_index": 0,
            "stage_total": 2,
            "image_index": None,
            "step": 10,
            "steps": 20,
            "progress": 0.5,
            "elapsed_s": 4.0,
            "eta_s": 4.2,
        }
    )
    text = page(viewer, reverse("queue"))
    assert "txt2img, stage 1 of 2 · step 10 of 20" in text
    assert '<progress max="100" value="25"' in text
    assert "4.0 s elapsed · about 4.2 s left in this stage" in text


def test_progress_of_another_job_is_not_shown(viewer: Client) -> None:
    job, claimed = make_running_job()
    Runner.objects.filter(pk=claimed.runner_id).update(
        progress={"job_id": job.pk + 1, "stage": "upscale", "stage_index": 0, "stage_total": 1}
    )
    assert "no progress is known yet" in page(viewer, reverse("queue"))


def test_pause_says_who_why_and_resume_takes_it_away(operator: Client) -> None:
    operator.post(reverse("queue-pause"), {"reason": "new GPU"})
    control = QueueControl.objects.get()
    assert (control.paused, control.paused_by, control.pause_reason) == (True, "otto", "new GPU")
    text = page(operator, reverse("queue"))
    assert "The queue was paused by otto at " in text
    assert ": new GPU." in text
    operator.post(reverse("queue-resume"))
    assert QueueControl.objects.get().paused is False
    assert "was paused by" not in page(operator, reverse("queue"))


def test_cancel_of_a_queued_job_applies_and_says_so(operator: Client) -> None:
    job = make_job()
    answer = operator.post(reverse("job-cancel", args=[job.pk]), {"next": reverse("queue")}, follow=True)
    assert answer.redirect_chain == [(reverse("queue"), 302)]
    assert f"Job {job.pk} is cancelled." in markup(answer)
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    again = operator.post(reverse("job-cancel", args=[job.pk]), headers=HTMX)
    assert f"Job {job.pk} is already CANCELLED." in markup(again)


def test_cancel_of_a_running_job_is_a_request(operator: Client) -> None:
    job, _ = make_running_job()
    answer = operator.post(reverse("job-cancel", args=[job.pk]), headers=HTMX)
    assert "ends with the answer to its interrupted request" in markup(answer)
    job.refresh_from_db()
    assert (job.status, job.cancel_requested_by) == (JobStatus.RUNNING, "otto")
    assert "Cancel asked by otto" in page(operator, reverse("queue"))


def test_cancel_never_redirects_to_another_server(operator: Client) -> None:
    job = make_job()
    answer = operator.post(reverse("job-cancel", args=[job.pk]), {"next": "https://elsewhere.example/"})
    assert answer.headers["Location"] == reverse("job", args=[job.pk])


def test_empty_states_say_what_to_do(viewer: Client) -> None:
    assert "No jobs yet." in page(viewer, reverse("queue"))
    assert "There is no node yet" in page(viewer, reverse("node-strip"))
    assert "No job has finished yet." in page(viewer, reverse("history"))
    assert "No packs yet." in page(viewer, reverse("packs"))
    assert "No events yet." in page(viewer, reverse("events"))
    node = make_node("alpha")
    assert "manage.py run_node alpha" in page(viewer, reverse("queue"))
    runner = make_runner(node)
    assert "no running workers" not in page(viewer, reverse("queue"))
    submit()
    complete(runner)
    assert "The queue is empty." in page(viewer, reverse("queue"))


def test_queue_pages_follow_the_order_in_which_jobs_run() -> None:
    low = submit(repeat=2, priority=Priority.LOW).job_ids
    normal = submit(repeat=3).job_ids
    front = submit(run_now=True).job_ids
    wanted = [*front, *normal, *low]
    seen: list[int] = []
    after = ""
    while True:
        part = queued(after=after, size=2)
        seen += [line.id for line in part.lines]
        after = part.after
        if not after:
            break
    assert seen == wanted


def test_history_pages_show_every_job_once_the_latest_first() -> None:
    runner = make_runner()
    submit(repeat=7)
    done = [complete(runner).pk if number % 2 else fail(runner).pk for number in range(7)]
    seen: list[int] = []
    after = ""
    while True:
        part = history(after=after, size=2)
        seen += [line.id for line in part.lines]
        after = part.after
        if not after:
            break
    assert seen == done[::-1]
    assert [line.id for line in history(JobFilter(status="FAILED")).lines] == done[::-2]


def test_history_filter_lives_in_the_address_and_nonsense_is_ignored(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=2)
    complete(runner)
    fail(runner)
    failed = page(viewer, reverse("history") + "?status=FAILED")
    assert "Sampler not found" in failed
    assert failed.count('data-status="COMPLETED"') == 0
    for nonsense in ("?status=DROP", "?after=x~y", "?after=" + "9" * 40):
        assert 'data-status="COMPLETED"' in page(viewer, reverse("history") + nonsense)


def test_node_strip_names_state_checkpoint_and_generation(viewer: Client) -> None:
    make_node("alpha", checkpoint="dream.safetensors", base_url="http://user:secret@127.0.0.1:7860")
    make_node("beta", state=NodeState.UNREACHABLE, state_reason="connection refused")
    text = page(viewer, reverse("node-strip"))
    assert "checkpoint dream.safetensors</p>" in text
    assert "generation 1</p>" in text
    assert "http://127.0.0.1:7860" in text
    assert "secret" not in text
    assert "connection refused. Start that server" in text


def test_unchanged_node_strip_is_204(viewer: Client) -> None:
    node = make_node()
    answer = viewer.get(reverse("node-strip"), headers=HTMX)
    url = f"{reverse('node-strip')}?version={answer.context['version']}"
    assert viewer.get(url, headers=HTMX).status_code == 204
    assert len(own_queries(viewer, url)) == 1
    Node.objects.filter(pk=node.pk).update(state=NodeState.RESTARTING)
    assert viewer.get(url, headers=HTMX).status_code == 200


def test_node_buttons_leave_a_wish_for_the_generation_that_was_shown(client: Client) -> None:
    client.force_login(make_user("root", is_superuser=True))
    node = make_node(start_command="webui.sh", generation=3)
    url = reverse("node-wish", args=[node.pk])
    client.post(url, {"wish": "restart", "generation": "2"})
    node.refresh_from_db()
    assert node.wish == ""
    client.post(url, {"wish": "restart", "generation": "3"})
    node.refresh_from_db()
    assert (node.wish, node.wish_by, node.wish_generation) == (Wish.RESTART, "root", 3)
    assert "root asked to restart" in page(client, reverse("node-strip"))
    assert "that is no wish" in markup(client.post(url, {"wish": "explode"}, follow=True))


def test_jobs_named_in_lists_come_from_the_unified_summary(viewer: Client) -> None:
    job = make_job()
    text = page(viewer, reverse("queue"))
    assert job.record.pack_name in text
    assert str(job.record.seed) in text
    assert Job.objects.count() == 1


# --- the poll sends what is needed -------------------------------------------------------------------
def live_address(client: Client, **changed: object) -> str:
    """The address that the page as it is now would ask for."""
    shown = client.get(reverse("queue")).context
    now, version = shown["live"], shown["version"]
    asked = {
        "version": version,
        "failures": now.failures_version,
        "lists": version.control,
        "recent": now.ledger.completed,
    }
    return f"{reverse('queue-live')}?{urlencode({**asked, **changed})}"


def test_held_list_is_not_sent_and_does_not_keep_the_poll_from_resting(viewer: Client) -> None:
    submit(repeat=2)
    url = live_address(viewer, held="lists")
    submit()
    told = markup(viewer.get(url, headers=HTMX))
    assert 'id="live"' in told
    assert 'id="lists"' not in told
    old_list = live_address(viewer, held="lists", lists=0)
    assert viewer.get(old_list, headers=HTMX).status_code == 204
    assert 'id="lists"' in markup(viewer.get(live_address(viewer, lists=0), headers=HTMX))


def test_poll_refreshes_the_very_list_that_is_shown(viewer: Client) -> None:
    submit(make_pack("castles"), repeat=2)
    submit(make_pack("ships"), repeat=3)
    told = markup(viewer.get(live_address(viewer, lists=0, pack="castles"), headers=HTMX))
    assert told.count("data-row") == 2
    assert 'data-of="pack=castles"' in told


def test_poll_sends_pictures_only_when_another_job_completed(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=2)
    url = live_address(viewer)
    control.pause(by="ada")
    assert 'id="recent"' not in markup(viewer.get(url, headers=HTMX))
    control.resume(by="ada")
    complete(runner)
    assert 'id="recent"' in markup(viewer.get(url, headers=HTMX))


def test_failures_are_asked_for_again_when_one_comes_and_when_one_is_dealt_with(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=2)
    url = live_address(viewer)
    fail(runner)
    answer = viewer.get(url, headers=HTMX)
    assert json.loads(answer["HX-Trigger"]) == {"failures": {}}
    assert '<span class="count-badge">1</span>' in markup(answer)
    url = live_address(viewer)
    control.pause(by="ada")
    assert "HX-Trigger" not in viewer.get(url, headers=HTMX)
    Job.objects.filter(needs_attention=True).update(needs_attention=False)
    control.touch()
    answer = viewer.get(url, headers=HTMX)
    assert json.loads(answer["HX-Trigger"]) == {"failures": {}}
    assert "count-badge" not in markup(answer)


def test_page_looks_every_second_while_jobs_move_and_rarely_when_nothing_can(viewer: Client) -> None:
    assert "every 4s" in page(viewer, reverse("queue"))
    make_runner()
    submit()
    assert "every 1s" in page(viewer, reverse("queue"))
    control.pause(by="ada")
    assert "every 4s" in page(viewer, reverse("queue"))
    control.resume(by="ada")
    make_running_job()
    control.pause(by="ada")
    assert "every 1s" in page(viewer, reverse("queue"))


def test_title_and_icon_carry_the_state(viewer: Client) -> None:
    runner = make_runner()
    text = page(viewer, reverse("queue"))
    assert 'data-title="StableNew" data-icon="calm"' in text
    submit(repeat=12)
    claim(runner)
    assert 'data-title="(12) StableNew" data-icon="busy"' in page(viewer, reverse("queue"))
    fail(make_runner())
    assert 'data-icon="warning"' in page(viewer, reverse("queue"))


def test_poll_asks_the_same_few_questions_however_long_the_queue_is(viewer: Client) -> None:
    runner = make_runner()

    def counts() -> list[int]:
        nothing = len(own_queries(viewer, live_address(viewer)))
        moving = len(own_queries(viewer, live_address(viewer, version="0", held="lists")))
        everything = len(own_queries(viewer, live_address(viewer, version="0", lists=0, recent=-1)))
        return [nothing, moving, everything]

    submit(repeat=5)
    for _ in range(4):
        complete(runner)
    few = counts()
    submit(repeat=55)
    for _ in range(10):
        complete(runner)
    assert counts() == few == [1, 8, 12]


# --- the list ----------------------------------------------------------------------------------------
def test_filter_lives_in_the_address_and_is_said_in_words(viewer: Client) -> None:
    submit(make_pack("castles", text="a castle in fog\n"), repeat=2)
    submit(make_pack("ships", text="a ship at sea\n"), repeat=3)
    for query, rows in (
        ("pack=castles", 2),
        ("text=SHIP", 3),
        ("pack=castles&text=ship", 0),
        ("user=nobody", 0),
    ):
        text = page(viewer, f"{reverse('queue')}?{query}")
        assert text.count("data-row") == rows, query
    text = page(viewer, f"{reverse('queue')}?pack=castles&text=fog")
    assert "Only jobs of pack castles, with “fog” in the prompt." in text
    assert "<option selected>castles</option>" in text
    assert 'name="text" value="fog"' in text


def test_filter_that_matches_nothing_says_so_and_how_to_get_out(viewer: Client) -> None:
    submit(repeat=3)
    text = page(viewer, f"{reverse('queue')}?checkpoint=none-such")
    assert "No waiting job matches this filter." in text
    assert "3 jobs wait in all." in text
    assert "Clear the filter" in text


def test_filter_form_gets_the_list_alone_and_caches_know_the_difference(viewer: Client) -> None:
    submit(repeat=3)
    answer = viewer.get(reverse("queue"), headers={**HTMX, "HX-Target": "lists"})
    text = markup(answer)
    assert text.lstrip().startswith('<div id="lists"')
    assert "<html" not in text
    assert "HX-Target" in answer["Vary"]
    assert "HX-Target" in viewer.get(reverse("queue"))["Vary"]


def test_filter_form_leads_to_an_address_without_empty_fields(viewer: Client) -> None:
    submit(repeat=3)
    headers = {**HTMX, "HX-Target": "lists", "HX-Trigger": "filters"}
    for query, address in (("pack=&text=fog&user=", "/?text=fog"), ("pack=&text=", "/")):
        assert viewer.get(f"{reverse('queue')}?{query}", headers=headers)["HX-Push-Url"] == address


def test_pages_go_on_where_the_last_one_ended(viewer: Client) -> None:
    submit(repeat=52)
    first = page(viewer, reverse("queue"))
    assert first.count("data-row") == 50
    assert "Back to the start" not in first
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = page(viewer, following[1].replace("&amp;", "&"))
    assert second.count("data-row") == 2
    assert re.findall(r'<td class="number place">(\d+)</td>', second) == ["51", "52"]
    assert "Back to the start" in second
    assert 'rel="next"' not in second


def test_place_beyond_the_end_says_that_jobs_have_started(viewer: Client) -> None:
    submit(repeat=2)
    text = page(viewer, f"{reverse('queue')}?after=30~999999~999999")
    assert "There are no more waiting jobs after this place;" in text


def test_search_that_stops_early_says_how_far_it_looked_and_goes_on(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SEARCH_PROMPTS", 4)
    submit(make_pack("castles", text="a castle\n"), repeat=6)
    submit(make_pack("ships", text="a ship\n"), repeat=2)
    text = page(viewer, f"{reverse('queue')}?text=ship")
    assert "None so far." in text
    assert "The first 4 jobs of this stretch do not match" in text
    following = re.search(r'rel="next" href="([^"]+)"[^>]*>Search on</a>', text)
    assert following
    assert page(viewer, following[1].replace("&amp;", "&")).count("data-row") == 2


def test_only_those_who_may_operate_get_boxes_and_buttons(viewer: Client) -> None:
    submit(repeat=2)
    text = page(viewer, reverse("queue"))
    assert text.count("data-row") == 2
    for word in ("data-select", "data-bulk", "menu-button", "action-bar", "Pause"):
        assert word not in text
    viewer.force_login(make_user(operator=True))
    text = page(viewer, reverse("queue"))
    for word in ("data-select", "data-bulk", "menu-button", "action-bar", "Pause"):
        assert word in text


def test_estimate_is_told_when_enough_jobs_tell_how_long_one_takes(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=10)
    for _ in range(2):
        complete(runner)
    assert "to the end of the queue" not in page(viewer, reverse("queue"))
    complete(runner)
    done = Job.objects.filter(status=JobStatus.COMPLETED)
    for job in done:
        assert job.finished_at
        Job.objects.filter(pk=job.pk).update(started_at=job.finished_at - timedelta(minutes=10))
    assert "about 70 min to the end of the queue" in page(viewer, reverse("queue"))
    control.pause(by="ada")
    assert "to the end of the queue" not in page(viewer, reverse("queue"))
    control.resume(by="ada")
    Node.objects.update(state=NodeState.STOPPED)
    assert "to the end of the queue" not in page(viewer, reverse("queue"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "under a minute"),
        (61, "about 1 min"),
        (38 * 60, "about 40 min"),
        (3 * 3600, "about 3 h"),
        (31 * 3600, "about 30 h"),
        (72 * 3600, "about 3 days"),
    ],
)
def test_times_are_told_no_finer_than_they_are_known(seconds: float, words: str) -> None:
    assert roughly(seconds) == words


def test_unfinished_act_is_told_with_the_way_to_go_on(viewer: Client) -> None:
    submit(repeat=3)
    act = acts.start(BulkVerb.CANCEL, JobFilter(), by="ada")
    text = page(viewer, reverse("queue"))
    assert "<strong>Not finished:</strong> Cancelling 3 waiting jobs, asked by ada" in text
    assert reverse("bulk", args=[act.pk]) in text
    acts.advance(act.pk)
    assert "Not finished:" not in page(viewer, reverse("queue"))


def test_latest_pictures_lead_to_their_jobs(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=2)
    job = complete(runner)
    fail(runner)
    text = page(viewer, reverse("queue"))
    shots = text[text.index('class="body shots"') :]
    assert shots[: shots.index("</ul>")].count("<li>") == 1
    assert reverse("job", args=[job.pk]) in shots
    assert reverse("thumb", args=[job.outputs.get().pk]) in shots


def test_picture_in_the_making_is_shown_where_the_runner_tells_of_one(viewer: Client) -> None:
    job, claimed = make_running_job()
    told = {"job_id": job.pk, "stage": "txt2img", "stage_index": 0, "stage_total": 1, "progress": 0.5}
    Runner.objects.filter(pk=claimed.runner_id).update(progress=told)
    assert "The picture so far" not in page(viewer, reverse("queue"))
    Runner.objects.filter(pk=claimed.runner_id).update(progress={**told, "preview": 3})
    assert f"{reverse('preview', args=[job.node_id])}?v=3" in page(viewer, reverse("queue"))


def test_the_queue_offers_kinds_where_there_are_several_and_its_poll_keeps_the_choice(viewer: Client) -> None:
    picture, film = make_job().pk, make_job().pk
    assert 'name="kind"' not in page(viewer, reverse("queue"))
    Job.objects.filter(pk=film).update(kind="i2v")
    text = page(viewer, f"{reverse('queue')}?kind=i2v")
    assert re.search(r'<option value="i2v" selected>\s*Films\s*</option>', text)
    assert "Only jobs that make films." in text
    assert '<input type="hidden" name="kind" value="i2v">' in text
    for shown in (text, page(viewer, f"{poll_address(0)}&kind=i2v")):
        assert f'href="{reverse("job", args=[film])}"' in shown
        assert f'href="{reverse("job", args=[picture])}"' not in shown


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_a_waiting_film_or_edit_names_the_worker_s_model_and_no_sampler(
    viewer: Client, kind: str, settings: Settings, tmp_path: Path
) -> None:
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    submit(make_film_pack("lamps", kind))
    make_job()
    row = page(viewer, f"{reverse('queue')}?kind={kind}").partition('id="row-')[2]
    cells = [
        " ".join(re.sub("<[^>]*>", "", cell).split()) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)
    ]
    assert "the worker's own" in html.unescape(" | ".join(cells))
    assert "2 steps" in cells or "lightning, 2 steps" in cells
    assert "as loaded" in page(viewer, f"{reverse('queue')}?kind=image")
