"""Does a WebUI answer at this address? One careful look, its verdict in words, and what to do about it.

For people who are about to attach a server, or wonder about one. Nothing of the answer's body is repeated, no
redirect is followed; the keeper's own order (connect, pause, question) is kept, as an early question can end a
server that has just started.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from django.conf import settings

from webui.drivers.a1111.client import Timeouts, WebUIClient
from webui.drivers.a1111.listings import Memory
from webui.errors import (
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIRedirectError,
    WebUIRejectedError,
    WebUITimeoutError,
    WebUIUnavailableError,
)
from webui.http import ports
from webui.keeper import readiness
from webui.keeper.memory import use_told

T = TypeVar("T")

CONNECT_S = 3.0
TIMEOUTS = Timeouts(connect_s=3.0, progress_s=6.0, small_s=5.0)
SLOW_S = 2.0
"""A healthy server answers the question for its progress in some milliseconds, whatever it is doing."""
FACTS_WITHIN_S = 10.0
"""No further question is begun after this; a page waits for the verdict."""
MOST_ANSWER_BYTES = 16 * 1024**2
"""A list of some ten thousand checkpoints; a stranger may send anything."""
MOST_CHARACTERS = 200
NOT_TOLD = "not told"


class Outcome(StrEnum):
    """What the look met."""

    WORKS = "works"
    SLOW = "works, but slow"
    NOTHING = "nothing listens"
    NO_HOST = "no such host"
    NOT_REACHED = "not reached"
    API_OFF = "API is off"
    OTHER_PROGRAM = "no WebUI"
    PASSWORD_WANTED = "wants a password"  # noqa: S105
    PASSWORD_REFUSED = "refuses the password"  # noqa: S105
    REDIRECTS = "redirects"
    SILENT = "does not answer"
    FAILS = "answers with an error"


@dataclass(frozen=True, slots=True)
class ConnectionVerdict:
    """`title` in a few words, `advice` in a sentence or two, `facts` as name and value."""

    outcome: Outcome
    title: str
    advice: str
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def works(self) -> bool:
        return self.outcome in (Outcome.WORKS, Outcome.SLOW)

    @property
    def status(self) -> str:
        """Which colour it has."""
        return {Outcome.WORKS: "READY", Outcome.SLOW: "WARNING"}.get(self.outcome, "FAILED")


def check_connection(
    base_url: str,
    auth: tuple[str, str] | None,
    *,
    settle_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ConnectionVerdict:
    """Looks once; takes some 20 s at most. Raises ValueError if `base_url` is not an http(s) address."""
    problem = ports.connect_problem(*ports.endpoint(base_url), CONNECT_S)
    if problem is not None:
        return _not_connected(base_url, problem)
    sleep(settings.STABLENEW_SETTLE_S if settle_s is None else settle_s)
    client = WebUIClient(base_url, auth=auth, timeouts=TIMEOUTS, max_answer_bytes=MOST_ANSWER_BYTES)
    began_s = clock()
    try:
        client.progress()
    except WebUIError as exc:
        return _no_progress(client, exc)
    return _works(client, clock() - began_s, clock)


def _not_connected(base_url: str, problem: OSError) -> ConnectionVerdict:
    advice = readiness.unreachable_sentence(base_url, problem)
    if isinstance(problem, ConnectionRefusedError):
        return ConnectionVerdict(Outcome.NOTHING, "Nothing listens there", advice)
    if isinstance(problem, socket.gaierror):
        return ConnectionVerdict(Outcome.NO_HOST, "The host is not known", advice)
    return ConnectionVerdict(Outcome.NOT_REACHED, "It cannot be reached", advice)


def _no_progress(client: WebUIClient, error: WebUIError) -> ConnectionVerdict:
    """Most specific first, as the tree of errors has it."""
    if isinstance(error, WebUIAuthError):
        return _password(client)
    if isinstance(error, WebUIRedirectError):
        return ConnectionVerdict(
            Outcome.REDIRECTS,
            "It answers with a redirect",
            "Redirects are not followed. Give the address where the WebUI itself answers; "
            "with https:// if that is how it is served.",
        )
    if isinstance(error, WebUIEndpointMissingError) and _is_page_of_webui(client):
        return ConnectionVerdict(
            Outcome.API_OFF,
            "A WebUI answers, but its API is off",
            "Start it with --api, then test again. If it has just been started, wait a moment first.",
        )
    if isinstance(error, (WebUIRejectedError, WebUIBadAnswerError)):
        status = f" (HTTP {error.status})" if error.status else ""
        return ConnectionVerdict(
            Outcome.OTHER_PROGRAM,
            "Something answers, but not with the API of a WebUI",
            f"{client.base_url} gave another answer than a Stable Diffusion WebUI{status}. Correct the address "
            "and port; if it is a WebUI, start it with --api.",
        )
    if isinstance(error, WebUIUnavailableError):
        return _silent(client, error)
    return ConnectionVerdict(
        Outcome.FAILS,
        f"It answers with an error (HTTP {error.status})",
        "It may still be starting, or be sick, or a proxy in front of it cannot reach it. Test again in a "
        "moment; then look at its own log.",
    )


def _password(client: WebUIClient) -> ConnectionVerdict:
    advice = "Give the user and password of its --api-auth (not those of --gradio-auth)."
    if client.auth:
        return ConnectionVerdict(Outcome.PASSWORD_REFUSED, "It refuses this user and password", advice)
    return ConnectionVerdict(Outcome.PASSWORD_WANTED, "It wants a user and password", advice)


def _silent(client: WebUIClient, error: WebUIUnavailableError) -> ConnectionVerdict:
    if isinstance(error, WebUITimeoutError):
        return ConnectionVerdict(
            Outcome.SILENT,
            "It accepts connections, but does not answer",
            f"No answer came within {TIMEOUTS.progress_s:g} s. It may hang, or be busy with its start; look at "
            "its own log, and test again in a moment.",
        )
    other = "http" if client.base_url.startswith("https") else "https"
    return ConnectionVerdict(
        Outcome.SILENT,
        "It accepts connections, but ends them without an answer",
        f"It may have crashed just now, or speak {other}: then give the address with {other}://.",
    )


def _is_page_of_webui(client: WebUIClient) -> bool:
    try:
        client.ping()
    except WebUIError:
        return False
    return True


def _works(client: WebUIClient, answered_in_s: float, clock: Callable[[], float]) -> ConnectionVerdict:
    questions = _Questions(clock, clock() + FACTS_WITHIN_S)
    checkpoint = questions.ask(lambda: (client.options().sd_model_checkpoint or "")[:MOST_CHARACTERS])
    checkpoints = questions.ask(lambda: len(client.sd_models()))
    samplers = questions.ask(lambda: len(client.samplers()))
    has_page = questions.offers(client.ping)
    is_forge = questions.offers(client.sd_modules)
    memory = questions.ask(client.memory)
    facts = (
        ("Kind", _kind(is_forge)),
        ("Loaded checkpoint", NOT_TOLD if checkpoint is None else checkpoint or "none yet"),
        ("Checkpoints", _number(checkpoints)),
        ("Samplers", _number(samplers)),
        ("Memory", _memory_words(memory)),
        (
            "Answered in",
            f"{answered_in_s:.1f} s" if answered_in_s >= 0.1 else f"{answered_in_s * 1000:.0f} ms",
        ),
    )
    notes = []
    slow = answered_in_s >= SLOW_S
    if slow:
        notes.append(
            f"It took {answered_in_s:.1f} s to say how far it is. Its machine or the network is busy."
        )
    if checkpoints == 0:
        notes.append("It lists no checkpoint: put one into its folder models/Stable-diffusion.")
    if has_page is False:
        notes.append(
            "It runs with --nowebui and cannot tell whose request it works on. So what is cancelled on it is not "
            "interrupted, unless we start this WebUI ourselves; it runs to its end first."
        )
    title = "It works, but answers slowly" if slow else "It works"
    advice = " ".join(notes) or "The API answers, and everything that is needed is there."
    return ConnectionVerdict(Outcome.SLOW if slow else Outcome.WORKS, title, advice, facts)


class _Questions:
    """Further questions, of which none is needed: a server that does not answer them is good enough."""

    def __init__(self, clock: Callable[[], float], until: float) -> None:
        self._clock = clock
        self._until = until

    def ask(self, question: Callable[[], T]) -> T | None:
        if self._clock() > self._until:
            return None
        try:
            return question()
        except WebUIError:
            return None

    def offers(self, question: Callable[[], object]) -> bool | None:
        """Whether it has that endpoint; None where it did not say."""
        if self._clock() > self._until:
            return None
        try:
            question()
        except WebUIEndpointMissingError:
            return False
        except WebUIError:
            return None
        return True


def _kind(is_forge: bool | None) -> str:
    if is_forge is None:
        return NOT_TOLD
    return "Forge, or a relative" if is_forge else "AUTOMATIC1111, or a relative"


def _number(count: int | None) -> str:
    return NOT_TOLD if count is None else f"{count:,}"


def _memory_words(memory: Memory | None) -> str:
    return (use_told(memory).words() if memory else "") or NOT_TOLD
