"""Many who look at the same queue share one composition: never an old one, never somebody else's."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from jobs.models import Job, Runner
from jobs.pages import shared_answers
from jobs.pages.shared_answers import KEPT, MAX_AGE_S, TOKEN_PLACE, SharedAnswers
from jobs.queue import control
from jobs.reading.live import live_version
from stablenew_site.roles import Role
from tests.factories import make_node, make_pack, make_runner, make_user, submit
from tests.integration.failed_jobs import fail_in_retry
from tests.integration.finished_jobs import claim, complete
from tests.markup import markup

LIVE = "/live"
#: What polls ask for: everything, the moving part alone, another page of the list, another filter.
ASKED: tuple[dict[str, str], ...] = (
    {},
    {"version": "old"},
    {"version": "old", "held": "lists"},
    {"pack": "nothing"},
    {"text": "keep"},
    {"recent": "0"},
)


class Clock:
    now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def sharing() -> Iterator[None]:
    """With a clock that stands still: how long a test takes decides nothing."""
    shared_answers.share(SharedAnswers(Clock()))
    yield
    shared_answers.stop_sharing()


def as_role(role: Role, *, checks: bool = False) -> Client:
    client = Client(enforce_csrf_checks=checks)
    client.force_login(make_user(role=role))
    return client


def bare(text: str) -> str:
    """Without what is each person's own."""
    return re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "token", text)


def unshared(client: Client, asked: dict[str, str]) -> str:
    found = shared_answers._shared
    shared_answers.stop_sharing()
    try:
        return bare(markup(client.get(LIVE, asked)))
    finally:
        shared_answers.share(found)


# --- one for all -----------------------------------------------------------------------------------------


def test_who_asks_at_the_same_moment_waits_for_the_one_composition() -> None:
    answers, begun, go_on = SharedAnswers(Clock()), threading.Event(), threading.Event()
    made: list[int] = []

    def compose() -> int:
        made.append(1)
        begun.set()
        go_on.wait()
        return len(made)

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(answers.get, "key", compose) for _ in range(8)]
        begun.wait()
        other = answers.get("another key", lambda: "not held up")
        go_on.set()
        found = [one.result() for one in asked]
    assert (found, other) == ([1] * 8, "not held up")


def test_a_composition_is_made_anew_after_a_moment_and_after_a_failure() -> None:
    clock = Clock()
    answers = SharedAnswers(clock)
    assert answers.get("k", lambda: 1) == answers.get("k", lambda: 2) == 1
    clock.now_s += MAX_AGE_S
    assert answers.get("k", lambda: 3) == 3
    clock.now_s += MAX_AGE_S

    def breaks() -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        answers.get("k", breaks)
    assert answers.get("k", lambda: 4) == 4


def test_what_is_kept_is_bounded() -> None:
    answers = SharedAnswers()
    for number in range(3 * KEPT):
        answers.get(number, lambda: None)
    assert len(answers._kept) == KEPT


# --- the page ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("order", [list(Role), list(reversed(Role))])
def test_each_role_gets_what_it_would_get_alone(sharing: None, order: list[Role]) -> None:
    runner = make_runner(make_node())
    submit(make_pack(text="a keep\nneg: low\n"), repeat=5)
    complete(runner)
    fail_in_retry(runner)
    claim(runner)
    clients = {role: as_role(role) for role in order}
    for asked in ASKED:
        alone = {role: unshared(client, asked) for role, client in clients.items()}
        for role in (*order, *order):
            answer = clients[role].get(LIVE, asked)
            assert bare(markup(answer)) == alone[role], (role, asked)
            assert TOKEN_PLACE not in markup(answer)
    assert "Cancel job" in unshared(clients[Role.OPERATOR], {})
    assert "Cancel job" not in bare(markup(clients[Role.VIEWER].get(LIVE)))


@pytest.mark.django_db
def test_after_everything_that_happens_the_next_answer_tells_it(sharing: None) -> None:
    runner = make_runner(make_node())
    revision = make_pack()
    clients = [as_role(Role.OPERATOR), as_role(Role.VIEWER)]

    def cancel() -> None:
        control.cancel(Job.objects.filter(status="QUEUED")[0].pk, by="ann")

    happenings: tuple[Callable[[], object], ...] = (
        lambda: submit(revision, repeat=4),
        lambda: control.pause(by="ann", reason="lunch"),
        lambda: control.resume(by="ann"),
        lambda: complete(runner),
        lambda: fail_in_retry(runner),
        cancel,
        lambda: claim(runner),
    )
    for happens in happenings:
        for client in clients:
            client.get(LIVE)
        before = str(live_version())
        happens()
        assert str(live_version()) != before
        for client in (*clients, *clients):
            assert bare(markup(client.get(LIVE))) == unshared(client, {})


@pytest.mark.django_db
def test_progress_alone_is_told_once_a_second_with_the_version_it_was_read_at() -> None:
    clock = Clock()
    shared_answers.share(SharedAnswers(clock))
    try:
        submit(make_pack())
        runner, client = make_runner(make_node()), as_role(Role.VIEWER)
        claim(runner)

        def told(version: str) -> str:
            return markup(client.get(LIVE, {"version": version, "lists": str(live_version().control)}))

        first = str(live_version())
        assert f"version={first}" in told("old")
        Runner.objects.update(progress_version=F("progress_version") + 1)
        second = str(live_version())
        assert f"version={first}" in told("old")
        assert told(first) == "", "who has it already gets nothing"
        clock.now_s += MAX_AGE_S
        assert f"version={second}" in told(first)
    finally:
        shared_answers.stop_sharing()


@pytest.mark.django_db
def test_everybody_gets_a_token_of_their_own_that_works(sharing: None) -> None:
    submit(make_pack())
    clients = [as_role(Role.OPERATOR, checks=True) for _ in range(3)]
    tokens = []
    for client in clients:
        found = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', markup(client.get(LIVE)))
        assert len(set(found)) == 1
        tokens.append(found[0])
    assert len(set(tokens)) == 3
    for client, token in zip(clients, tokens, strict=True):
        assert client.post(reverse("queue-pause"), {"csrfmiddlewaretoken": token}).status_code == 302
    assert clients[0].post(reverse("queue-pause"), {"csrfmiddlewaretoken": tokens[1]}).status_code == 403


@pytest.mark.django_db
def test_who_comes_second_asks_only_who_they_are_and_for_the_version(
    sharing: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit(make_pack(), repeat=30)
    first, second = as_role(Role.VIEWER), as_role(Role.VIEWER)
    first.get(LIVE)
    # Session, user, its own permissions and its groups', and the version.
    with django_assert_num_queries(5):
        answer = second.get(LIVE)
    assert answer.status_code == 200


@pytest.mark.django_db
def test_a_process_that_was_not_asked_to_share_composes_each_time() -> None:
    made: list[int] = []
    for _ in range(2):
        shared_answers.shared("key", lambda: made.append(1))
    assert len(made) == 2
