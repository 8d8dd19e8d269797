"""Does a server answer at this address? One careful look, its verdict in words, and what to do about it.

For people who are about to attach a server, or wonder about one. The keeper's own order (connect, pause, question) is
kept, as an early question can end a server that has just started; the questions are the driver's.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from django.conf import settings

from webui.driver import driver_of
from webui.http import ports
from webui.keeper import readiness
from webui.work.timeouts import Timeouts
from webui.work.told import ConnectionVerdict, Outcome
from webui.work.unit import DEFAULT_DRIVER

CONNECT_S = 3.0
TIMEOUTS = Timeouts(connect_s=3.0, progress_s=6.0, small_s=5.0)
MOST_ANSWER_BYTES = 16 * 1024**2
"""A list of some ten thousand checkpoints; a stranger may send anything."""


def check_connection(
    base_url: str,
    auth: tuple[str, str] | None,
    *,
    driver: str = DEFAULT_DRIVER,
    settle_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ConnectionVerdict:
    """Looks once; takes some 20 s at most. Raises ValueError if `base_url` is not an http(s) address."""
    problem = ports.connect_problem(*ports.endpoint(base_url), CONNECT_S)
    if problem is not None:
        return _not_connected(base_url, problem)
    sleep(settings.STABLENEW_SETTLE_S if settle_s is None else settle_s)
    server = driver_of(driver).connect(
        base_url, auth=auth, timeouts=TIMEOUTS, max_answer_bytes=MOST_ANSWER_BYTES
    )
    return server.inspect()


def _not_connected(base_url: str, problem: OSError) -> ConnectionVerdict:
    advice = readiness.unreachable_sentence(base_url, problem)
    if isinstance(problem, ConnectionRefusedError):
        return ConnectionVerdict(Outcome.NOTHING, "Nothing listens there", advice)
    if isinstance(problem, socket.gaierror):
        return ConnectionVerdict(Outcome.NO_HOST, "The host is not known", advice)
    return ConnectionVerdict(Outcome.NOT_REACHED, "It cannot be reached", advice)
