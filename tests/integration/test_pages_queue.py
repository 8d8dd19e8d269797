"""The queue page, its poll, the lists, and the buttons that steer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs import services
from jobs.filters import JobFilter
from jobs.lifecycle import JobStatus, Priority
from jobs.models import Job, QueueControl, Runner
from jobs.selectors.lists import history, queued
from jobs.selectors.live import live_version
from tests.factories import make_job, make_node, make_pack, make_runner, make_running_job, make_user, submit
from tests.integration.finished_jobs import complete, fail
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
    return answer.content.decode()


def poll_address(version: object = None) -> str:
    version = live_version() if version is None else version
    return f"{reverse('queue-live')}?version={version}&lists={str(version).split('.')[0]}"


def queries_of(act: Callable[[], object]) -> list[str]:
    act()
    with CaptureQueriesContext(
        connection,
    ) as caught:
        act()
    return [query["sql"] for query in caught.captured_queries]


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
        lambda: services.pause(by="ada"),
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
    assert 'id="lists"' not in viewer.get(url, headers=HTMX).content.decode()
    submit()
    assert 'id="lists"' in viewer.get(url, headers=HTMX).content.decode()
    assert job.pk


def test_query_counts_do_not_grow_with_the_queue(viewer: Client) -> None:
    runner = make_runner()
    urls = [reverse(name) for name in ("queue", "queued", "history", "jobs", "packs", "events")]

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
    assert max(few) < 15


def test_ledger_is_shown_and_every_count_is_a_link(viewer: Client) -> None:
    runner = make_runner()
    submit(repeat=5)
    complete(runner)
    fail(runner)
    text = page(viewer, reverse("queue"))
    assert "5 submitted = 3 queued + 0 running + 1 completed + 1 failed + 0 cancelled" in text
    for address in (
        reverse("queued"),
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
    assert "4.0 s elapsed · about 4.2 s left" in text


def test_progress_of_another_job_is_not_shown(viewer: Client) -> None:
    job, claimed = make_running_job()
    Runner.objects.filter(pk=claimed.runner_id).update(
        progress={"job_id": job.pk + 1, "stage": "upscale", "stage_index": 0, "stage_total": 1}
    )
    assert "has not told any progress yet" in page(viewer, reverse("queue"))


def test_pause_says_who_why_and_resume_takes_it_away(operator: Client) -> None:
    operator.post(reverse("queue-pause"), {"reason": "new GPU"})
    control = QueueControl.objects.get()
    assert (control.paused, control.paused_by, control.pause_reason) == (True, "otto", "new GPU")
    text = page(operator, reverse("queue"))
    assert "<strong>Paused</strong> by otto" in text
    assert ": new GPU." in text
    operator.post(reverse("queue-resume"))
    assert QueueControl.objects.get().paused is False
    assert "<strong>Paused</strong>" not in page(operator, reverse("queue"))


def test_cancel_of_a_queued_job_applies_and_says_so(operator: Client) -> None:
    job = make_job()
    answer = operator.post(reverse("job-cancel", args=[job.pk]), {"next": reverse("queue")}, follow=True)
    assert answer.redirect_chain == [(reverse("queue"), 302)]
    assert f"Job {job.pk} is cancelled." in answer.content.decode()
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    again = operator.post(reverse("job-cancel", args=[job.pk]), headers=HTMX)
    assert f"Job {job.pk} is already CANCELLED." in again.content.decode()


def test_cancel_of_a_running_job_is_a_request(operator: Client) -> None:
    job, _ = make_running_job()
    answer = operator.post(reverse("job-cancel", args=[job.pk]), headers=HTMX)
    assert "ends with the answer to its interrupted request" in answer.content.decode()
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
    assert "No worker is running" not in page(viewer, reverse("queue"))
    submit()
    complete(runner)
    assert "The queue is empty." in page(viewer, reverse("queue"))
    assert "No job is failed." in page(viewer, reverse("history") + "?status=FAILED")


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
    assert "checkpoint dream.safetensors · generation 1" in text
    assert "http://127.0.0.1:7860" in text
    assert "secret" not in text
    assert "connection refused. Nobody answers at its address." in text


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
    assert "root asked that it be restarted" in page(client, reverse("node-strip"))
    assert "that is no wish" in client.post(url, {"wish": "explode"}, follow=True).content.decode()


def test_jobs_named_in_lists_come_from_the_unified_summary(viewer: Client) -> None:
    job = make_job()
    text = page(viewer, reverse("queue"))
    assert job.record.pack_name in text
    assert str(job.record.seed) in text
    assert Job.objects.count() == 1
