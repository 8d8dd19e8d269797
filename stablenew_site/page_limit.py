"""The time of a page: a request that has used its seconds is stopped at the database and answered with a plain 503.

Only requests are bound: a command (`run_node`, `migrate`) passes no middleware, and a connection leaves a request as it
came. Time that a request spends without the database ends at its next query.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.conf import settings
from django.db import Error, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

logger = logging.getLogger(__name__)

#: Steps of SQLite's machine between two looks at the clock: some 10 ms. Each look takes Python's one lock.
SQLITE_STEPS: Final = 500_000
#: PostgreSQL is told again when its own limit is so far from what is left, not before each query.
SLACK_S: Final = 1.0
#: A lock is waited for a little longer than the request has, so that giving up counts as too late.
LOCK_SLACK_S: Final = 0.1
#: PostgreSQL's `query_canceled`.
CANCELED: Final = "57014"
RETRY_AFTER_S: Final = 10
#: Addresses that answer programs, not browsers.
API: Final = "/api/"

#: What a wrapped call of Django's cursors looks like.
Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


class PageLimitError(OperationalError):
    """The time of this request is up; the database is not asked any more."""


class PageLimitMiddleware:
    """Outermost, so that whatever asks the database for a request is bound."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        limit_s: float = settings.STABLENEW_PAGE_LIMIT_S
        if limit_s <= 0:
            return self.get_response(request)
        with bound(limit_s):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return too_late(request) if is_too_late(exception) else None


def is_too_late(error: BaseException | None) -> bool:
    """Whether the limit ended this: before a query, or within one, also while its rows were fetched."""
    if isinstance(error, PageLimitError):
        return True
    cause = error.__cause__ if isinstance(error, OperationalError) else None
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
    return getattr(cause, "sqlstate", None) == CANCELED


def too_late(request: HttpRequest) -> HttpResponse:
    """503 without a query: what happened, and what to do."""
    logger.warning(
        "%s %s was stopped after %g s.",
        request.method,
        request.path,
        settings.STABLENEW_PAGE_LIMIT_S,
        extra={"event": "site.page_too_late", "path": request.path},
    )
    seconds = f"{settings.STABLENEW_PAGE_LIMIT_S:g}"
    response: HttpResponse
    if request.path.startswith(API):
        message = f"The answer was not ready within {seconds} s, so it was stopped. Try again in a moment."
        response = JsonResponse({"error": {"code": "too_late", "message": message}}, status=503)
    else:
        context = {"seconds": seconds, "changes": request.method not in ("GET", "HEAD", "OPTIONS")}
        response = HttpResponse(render_to_string("503.html", context), status=503)
    response["Retry-After"] = str(RETRY_AFTER_S)
    response["Cache-Control"] = "no-store"
    return response


def failed(request: HttpRequest) -> HttpResponse:
    """The site's `handler500`: also a middleware may ask the database for too long."""
    return too_late(request) if is_too_late(sys.exc_info()[1]) else server_error(request)


@contextmanager
def bound(limit_s: float) -> Iterator[None]:
    """From now on this thread's queries have so many seconds together."""
    limit = _SQLiteLimit(limit_s) if connection.vendor == "sqlite" else _PostgresLimit(limit_s)
    with connection.execute_wrapper(limit):
        try:
            yield
        finally:
            limit.lift()


class _Limit:
    """What is left to one request, and how its connection is told."""

    def __init__(self, limit_s: float) -> None:
        self._until_s = time.monotonic() + limit_s
        self._raw: Any = None
        """The driver's connection that was told."""

    def left_s(self) -> float:
        return self._until_s - time.monotonic()

    def __call__(self, execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.startswith(("ROLLBACK", "RELEASE")):
            # A savepoint ends, as a rule because something is undone: always in time.
            return execute(sql, params, many, context)
        left_s = self.left_s()
        if left_s <= 0:
            raise PageLimitError
        self._tell(left_s)
        try:
            return execute(sql, params, many, context)
        except OperationalError as exc:
            if self.left_s() <= 0:
                raise PageLimitError from exc
            raise

    def _tell(self, left_s: float) -> None:
        raise NotImplementedError

    def lift(self) -> None:
        raise NotImplementedError


class _SQLiteLimit(_Limit):
    """A handler that SQLite asks every so many steps; waiting for a lock, it asks nobody and has a limit of its own."""

    _waits_less = False

    def _tell(self, left_s: float) -> None:
        raw = connection.connection
        if raw is not self._raw:
            raw.set_progress_handler(self._is_over, SQLITE_STEPS)
            self._raw, self._waits_less = raw, False
        if left_s < self._patience_s():
            raw.execute(f"PRAGMA busy_timeout = {_milliseconds(left_s + LOCK_SLACK_S)}").close()
            self._waits_less = True

    def lift(self) -> None:
        # Closed, where the request closed its connection.
        with suppress(sqlite3.ProgrammingError):
            if self._raw is not None:
                self._raw.set_progress_handler(None, 0)
                if self._waits_less:
                    self._raw.execute(f"PRAGMA busy_timeout = {_milliseconds(self._patience_s())}").close()

    def _is_over(self) -> int:
        return int(self.left_s() <= 0)

    def _patience_s(self) -> float:
        return float(connection.settings_dict["OPTIONS"].get("timeout", 5.0))


class _PostgresLimit(_Limit):
    """The session's `statement_timeout`, for as long as the request lasts."""

    _told_s: float | None = None
    """The limit that holds for the session; None: not told, or within a transaction, whose end may take it back."""

    def _tell(self, left_s: float) -> None:
        raw = connection.connection
        if raw is self._raw and self._told_s is not None and abs(self._told_s - left_s) < SLACK_S:
            return
        with connection.wrap_database_errors:
            raw.execute(f"SET statement_timeout = {_milliseconds(left_s)}")
        self._raw, self._told_s = raw, None if connection.in_atomic_block else left_s

    def lift(self) -> None:
        if self._raw is None or self._raw is not connection.connection or self._raw.closed:
            return
        # A failed transaction around all this takes it back itself.
        with suppress(Error), connection.wrap_database_errors:
            self._raw.execute("RESET statement_timeout")


def _milliseconds(seconds: float) -> int:
    # 0 would be no limit.
    return max(1, round(seconds * 1000))
