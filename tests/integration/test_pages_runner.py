"""What pages say of a node's runner and its breaker, and the button that lets it try a job."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from diagnostics import health
from jobs.models import Runner
from jobs.queue.hold_words import clock_time
from jobs.reading.live import live_version
from tests.factories import make_node, make_runner, make_running_job, make_user
from tests.markup import markup

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
NEXT_RUNS = "The breaker of gpu1 is open, and the next job runs there as a test"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def make_broken(name: str = "gpu1", *, try_in: timedelta = timedelta(minutes=10)) -> Runner:
    """A runner whose breaker is open."""
    now = timezone.now()
    return make_runner(
        make_node(name),
        crash_failures=3,
        breaker_opened_at=now,
        breaker_until=now + try_in,
        breaker_opens=1,
        breaker_reason="3 crashes in a row, the last: The WebUI died.",
    )


def let_the_pause_pass(runner: Runner) -> None:
    Runner.objects.filter(pk=runner.pk).update(breaker_until=timezone.now() - timedelta(seconds=1))


def words(client: Client, url: str) -> str:
    answer = client.get(url, headers=HTMX)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", markup(answer)).split())


def state_url(runner: Runner) -> str:
    return reverse("runner-state", args=[runner.node_id])


def try_url(runner: Runner) -> str:
    return reverse("runner-try", args=[runner.node_id])


def own_queries(act: Callable[[], object]) -> list[str]:
    """Without those that say who is logged in."""
    act()
    with CaptureQueriesContext(connection) as caught:
        act()
    return [
        query["sql"]
        for query in caught.captured_queries
        if "django_session" not in query["sql"] and "auth_" not in query["sql"]
    ]


def test_queue_page_says_why_a_node_takes_no_jobs_and_when_it_tries_one(viewer: Client) -> None:
    runner = make_broken()
    text = words(viewer, reverse("queue"))
    assert runner.breaker_until is not None
    until = clock_time(runner.breaker_until, timezone.now())
    assert f"The breaker of gpu1 is open until {until}: 3 crashes in a row, the last: The WebUI died." in text


def test_queue_page_polls_anew_when_the_time_of_the_next_try_has_come(viewer: Client) -> None:
    runner = make_broken()
    version = live_version()
    url = f"{reverse('queue-live')}?version={version}&lists={version.control}"
    assert viewer.get(url, headers=HTMX).status_code == 204
    let_the_pause_pass(runner)
    assert NEXT_RUNS in words(viewer, url)


def test_the_canary_is_named_while_it_runs(viewer: Client) -> None:
    runner = make_broken(try_in=timedelta(seconds=-1))
    job, _ = make_running_job(runner)
    for url in (reverse("queue"), state_url(runner)):
        assert f"and job {job.pk} runs there as a test" in words(viewer, url)


def test_nothing_is_said_of_a_closed_breaker(viewer: Client) -> None:
    runner = make_runner(crash_failures=2)
    for url in (reverse("queue"), state_url(runner)):
        assert "reaker" not in words(viewer, url)


def test_state_of_the_runner_is_icon_word_colour_and_what_to_do(viewer: Client) -> None:
    runner = make_runner(make_node("gpu1"))
    states: list[tuple[dict[str, object], str, str]] = [
        ({}, "READY", "Runner Running"),
        ({"draining": True}, "WARNING", "Runner draining The runner of gpu1 is draining"),
        ({"draining": False, "must_quiet": True}, "RUNNING", "Waiting for quiet gpu1 takes no job until"),
        (
            {"heartbeat_at": timezone.now() - timedelta(minutes=3)},
            "STOPPED",
            "No runner The runner of gpu1 has not responded since",
        ),
        (
            {"heartbeat_at": None},
            "STOPPED",
            "No runner The runner of gpu1 is not running. Start it",
        ),
    ]
    for changes, status, sentence in states:
        Runner.objects.filter(pk=runner.pk).update(**changes)
        assert sentence in words(viewer, state_url(runner))
        page = markup(viewer.get(state_url(runner), headers=HTMX))
        assert re.search(rf'<span class="status" data-status="{status}"><svg class="icon"', page), sentence


def test_a_node_that_never_ran_has_no_runner(viewer: Client) -> None:
    url = reverse("runner-state", args=[make_node("gpu9").pk])
    assert "No runner" in words(viewer, url)
    assert "manage.py run_node gpu9" in words(viewer, url)
    missing = viewer.get(reverse("runner-state", args=[4711]))
    assert missing.status_code == 404


def test_page_and_fragment_are_one_view(viewer: Client) -> None:
    runner = make_broken()
    page = markup(viewer.get(state_url(runner)))
    fragment = markup(viewer.get(state_url(runner), headers=HTMX))
    assert "<html" in page
    assert "<html" not in fragment
    assert f'id="runner-{runner.node_id}"' in page
    assert f'id="runner-{runner.node_id}"' in fragment


def test_unchanged_poll_of_a_runner_is_204_with_three_queries(viewer: Client) -> None:
    runner = make_broken()
    shown = viewer.get(state_url(runner), headers=HTMX).context["runner"]
    url = f"{state_url(runner)}?version={shown.version}"
    Runner.objects.filter(pk=runner.pk).update(heartbeat_at=timezone.now())
    assert viewer.get(url, headers=HTMX).status_code == 204
    asked = own_queries(lambda: viewer.get(url, headers=HTMX))
    assert len([sql for sql in asked if "clock_timestamp" not in sql]) == 3
    let_the_pause_pass(runner)
    assert viewer.get(url, headers=HTMX).status_code == 200


def test_open_breakers_cost_the_queue_page_no_query(viewer: Client) -> None:
    make_runner()
    url = reverse("queue-live")
    before = len(own_queries(lambda: viewer.get(url, headers=HTMX)))
    for number in range(3):
        make_broken(f"broken{number}")
    assert len(own_queries(lambda: viewer.get(url, headers=HTMX))) == before


def test_operator_lets_one_job_be_tried_from_the_queue_page(operator: Client) -> None:
    runner = make_broken()
    page = markup(operator.get(reverse("queue")))
    assert f'action="{try_url(runner)}"' in page
    answer = operator.post(try_url(runner), {"next": reverse("queue")}, follow=True)
    assert answer.redirect_chain == [(reverse("queue"), 302)]
    assert "gpu1 tries one job now." in markup(answer)
    runner.refresh_from_db()
    assert runner.breaker_until is not None
    assert runner.breaker_until <= timezone.now()
    assert "Try one job now" not in markup(operator.get(reverse("queue")))


def test_operator_lets_one_job_be_tried_from_a_nodes_card(operator: Client) -> None:
    runner = make_broken()
    answer = operator.post(try_url(runner), headers=HTMX)
    assert answer.status_code == 200
    assert f'id="runner-{runner.node_id}"' in markup(answer)
    assert NEXT_RUNS in markup(answer)


def test_trying_with_a_closed_breaker_says_so_and_leads_to_no_other_server(operator: Client) -> None:
    runner = make_runner(make_node("gpu1"))
    answer = operator.post(try_url(runner), {"next": "https://elsewhere.example/"}, follow=True)
    assert answer.redirect_chain == [(state_url(runner), 302)]
    assert "The breaker of gpu1 is closed" in markup(answer)
    assert operator.post(reverse("runner-try", args=[4711])).status_code == 404


def test_viewer_sees_no_button_and_may_not_press_it(viewer: Client) -> None:
    runner = make_broken()
    for url in (reverse("queue"), state_url(runner)):
        assert "Try one job now" not in words(viewer, url)
    assert viewer.post(try_url(runner)).status_code == 403
    runner.refresh_from_db()
    assert runner.breaker_until is not None
    assert runner.breaker_until > timezone.now()


def test_an_open_breaker_is_unhealthy_by_name(viewer: Client) -> None:
    make_broken()
    answer = viewer.get(reverse("healthz"))
    assert answer.status_code == 503
    assert answer.json()["failing"] == ["breaker:gpu1"]
    (result,) = [result for result in health.quick_checks() if result.name == "breaker:gpu1"]
    assert "manage.py node resume gpu1" in result.remedy
