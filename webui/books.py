"""Patience with the database: that it is locked, full, restarting or gone for a while is no failure of any work.

What is read or written within must be safe to do again: after a lost connection nobody knows whether a commit arrived.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from django.db import Error, InterfaceError, InternalError, OperationalError, connection

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger(__name__)

NOT_NOW: Final = ("25006", "25P03", "25P04")
"""SQLSTATEs of PostgreSQL that its driver calls internal errors: read-only for now, and a transaction that took so long
that the server ended it."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
TELL_EVERY_S = 30.0


def is_away(error: BaseException) -> bool:
    """Whether the database did not do it now, and may do the very same later.

    Every other error of it is a fault of the program.
    """
    if isinstance(error, InternalError):
        return getattr(error.__cause__, "sqlstate", None) in NOT_NOW
    if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        # "no such table": SQLite has no class of its own for a fault of the program.
        return False
    return isinstance(error, (OperationalError, InterfaceError))


def insist(
    act: Callable[[], T],
    *,
    again: Callable[[], T] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What `act` returns, tried again for as long as the database is away. Never within a transaction.

    Later tries are `again` where the same act must not be done twice.

    There is no end to it: whoever waits here holds on to work that is done, and a run that was taken over meanwhile
    learns so from its first write.
    """
    pause_s, since, told_at = FIRST_PAUSE_S, time.monotonic(), 0.0
    while True:
        try:
            return act()
        except Error as exc:
            if not is_away(exc):
                raise
            now = time.monotonic()
            if not told_at or now - told_at >= TELL_EVERY_S:
                told_at = now
                logger.warning(
                    "The database has not answered for %.0f s; trying again: %s",
                    now - since,
                    exc,
                    extra={"event": "database.away", "error": type(exc).__name__},
                )
            connection.close()
            act = again or act
        sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def surely(act: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """`insist` for a call with arguments."""
    return insist(partial(act, *arguments, **named))
