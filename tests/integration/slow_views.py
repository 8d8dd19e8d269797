"""Addresses of a site whose database is slow: what they ask takes far longer than any test waits."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from jobs.models import QueueControl

handler500 = "stablenew_site.page_limit.failed"

#: Counts for days.
_COUNT = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {}) SELECT {} FROM n"
ENDLESS = 10**13
#: As many as a database counts in a moment, and many more steps than between two looks at the clock.
MANY = 300_000


def ask(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchall()


def count_to(most: int) -> None:
    ask(_COUNT.format(most, "count(*)"))


def wait_for_ever() -> None:
    if connection.vendor == "postgresql":
        ask("SELECT pg_sleep(1000000)")
    else:
        count_to(ENDLESS)


def slow(request: HttpRequest) -> HttpResponse:
    wait_for_ever()
    return HttpResponse()


def slow_rows(request: HttpRequest) -> HttpResponse:
    """The first row comes at once, the second one never."""
    waits = "CASE WHEN x > 1 THEN pg_sleep(1000000)::text END"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_COUNT.format(2, waits))
        else:
            # Filtered, so that SQLite goes on looking for a row that is not there.
            cursor.execute(_COUNT.format(ENDLESS, "x") + " WHERE x < 2")
        cursor.fetchall()
    return HttpResponse()


def many(request: HttpRequest) -> HttpResponse:
    """Each query is quick, all together have no end."""
    while True:
        ask("SELECT 1")


def write(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        QueueControl.objects.update(pause_reason="half of it")
        with transaction.atomic():
            wait_for_ever()
    return HttpResponse()


def write_slowly(request: HttpRequest) -> HttpResponse:
    """The very statement that writes is interrupted."""
    with transaction.atomic():
        QueueControl.objects.update(pause_reason="half of it")
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("UPDATE jobs_queuecontrol SET pause_reason = pg_sleep(1000000)::text")
            else:
                count = _COUNT.format(ENDLESS, "count(*)")
                cursor.execute(f"UPDATE jobs_queuecontrol SET pause_reason = ({count})")  # noqa: S608
    return HttpResponse()


def faulty(request: HttpRequest) -> HttpResponse:
    raise OperationalError("no such table: jobs_nothing")


def quick(request: HttpRequest) -> HttpResponse:
    count_to(MANY)
    return HttpResponse("quick")


class SlowMiddleware:
    """Asks the database before any view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        wait_for_ever()
        return self.get_response(request)


urlpatterns = [
    path("api/v1/slow", login_not_required(slow)),
    *(
        path(f"{view.__name__}/", login_not_required(view))
        for view in (slow, slow_rows, many, write, write_slowly, faulty, quick)
    ),
]
