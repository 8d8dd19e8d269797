"""A request of a page that has used its time: interrupted at the database, undone, and answered in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.conf import settings as site
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from jobs.models import QueueControl
from stablenew_site.page_limit import PageLimitError, bound
from tests.factories import make_user
from tests.integration import slow_views
from tests.markup import markup

pytestmark = pytest.mark.django_db

LIMIT_S = 0.2


@pytest.fixture
def slow_site(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.integration.slow_views"
    settings.STABLENEW_PAGE_LIMIT_S = LIMIT_S


def statement_timeout_ms() -> int:
    """0 is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("path", ["slow", "slow_rows", "many"])
def test_a_page_whose_time_is_up_is_a_503_that_says_what_to_do(
    slow_site: None, client: Client, path: str
) -> None:
    answer = client.get(f"/{path}/")
    assert answer.status_code == 503
    text = markup(answer)
    assert "This took too long" in text
    assert "stopped this request after 0.2 s." in text
    assert "Nothing was changed." in text
    assert answer["Cache-Control"] == "no-store"
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("path", ["write", "write_slowly"])
@pytest.mark.django_db(transaction=True)
def test_what_an_interrupted_page_was_writing_is_undone_as_a_whole(
    slow_site: None, client: Client, path: str
) -> None:
    QueueControl.objects.update(pause_reason="before")
    answer = client.post(f"/{path}/")
    assert answer.status_code == 503
    assert "undone as a whole" in markup(answer)
    assert QueueControl.objects.get().pause_reason == "before"
    QueueControl.objects.update(pause_reason="after")
    assert QueueControl.objects.get().pause_reason == "after"


def test_within_the_transaction_of_somebody_else_the_connection_stays_of_use(
    slow_site: None, client: Client
) -> None:
    assert client.post("/write/").status_code == 503
    assert QueueControl.objects.get().pause_reason == ""


def test_a_middleware_that_takes_too_long_is_a_503_as_well(slow_site: None, settings: Settings) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.integration.slow_views.SlowMiddleware"]
    answer = Client(raise_request_exception=False).get("/quick/")
    assert answer.status_code == 503
    assert "This took too long" in markup(answer)


def test_a_program_gets_its_503_as_json(slow_site: None, client: Client) -> None:
    answer = client.get("/api/v1/slow")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "too_late"
    assert "not ready within 0.2 s" in answer.json()["error"]["message"]


def test_another_fault_of_the_database_is_no_matter_of_time(slow_site: None) -> None:
    answer = Client(raise_request_exception=False).get("/faulty/")
    assert answer.status_code == 500
    assert "The server made a mistake" in markup(answer)


def test_a_request_leaves_no_limit_behind(slow_site: None, settings: Settings, client: Client) -> None:
    settings.STABLENEW_PAGE_LIMIT_S = 1000
    assert client.get("/quick/").content == b"quick"
    settings.STABLENEW_PAGE_LIMIT_S = LIMIT_S
    assert client.get("/many/").status_code == 503
    slow_views.count_to(slow_views.MANY)
    if connection.vendor == "postgresql":
        assert statement_timeout_ms() == 0


def test_only_the_database_of_a_request_is_told_of_a_limit(slow_site: None, settings: Settings) -> None:
    if connection.vendor == "postgresql":
        assert statement_timeout_ms() == 0
        with bound(1000):
            slow_views.ask("SELECT 1")
            # What is left of it.
            assert 0 < statement_timeout_ms() <= 1_000_000
        assert statement_timeout_ms() == 0
    with bound(LIMIT_S), pytest.raises(PageLimitError):
        slow_views.many(None)  # type: ignore[arg-type]


def test_the_limit_can_be_switched_off(slow_site: None, settings: Settings, client: Client) -> None:
    settings.STABLENEW_PAGE_LIMIT_S = 0
    assert client.get("/quick/").content == b"quick"


@contextmanager
def somebody_writes() -> Iterator[None]:
    """Another process holds what a writer must have."""
    if connection.vendor == "postgresql":
        import psycopg

        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute("LOCK TABLE jobs_queuecontrol IN ACCESS EXCLUSIVE MODE")
            yield
        return
    name = connection.settings_dict["NAME"]
    with closing(sqlite3.connect(name, timeout=20, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.django_db(transaction=True)
def test_waiting_for_a_lock_ends_with_the_time_of_the_page_too(settings: Settings, client: Client) -> None:
    client.force_login(make_user(is_superuser=True))
    settings.STABLENEW_PAGE_LIMIT_S = 1
    with somebody_writes():
        answer = client.post(reverse("queue-pause"))
    assert answer.status_code == 503
    assert QueueControl.objects.get().paused is False
    settings.STABLENEW_PAGE_LIMIT_S = 1000
    assert client.post(reverse("queue-pause")).status_code == 302
    assert QueueControl.objects.get().paused is True


def test_a_lock_is_waited_for_no_longer_than_the_page_has_and_as_before_when_it_is_over() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has one limit for all kinds of waiting")

    def patience_ms() -> int:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            return int(cursor.fetchone()[0])

    options: Any = site.DATABASES["default"]["OPTIONS"]
    usual_ms = options["timeout"] * 1000
    assert patience_ms() == usual_ms
    with bound(10):
        assert patience_ms() <= 10_100
    assert patience_ms() == usual_ms
