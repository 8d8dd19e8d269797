"""Does a WebUI answer as it should, and what does it have? For a person who tests a connection.

Nothing of an answer's body is repeated, and no redirect is followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.dialects import Signs, detect, told_version
from webui.drivers.a1111.listings import ServerOptions
from webui.errors import (
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIGatewayError,
    WebUIRedirectError,
    WebUIRejectedError,
    WebUITimeoutError,
    WebUIUnavailableError,
)
from webui.work.told import ConnectionVerdict, Outcome

T = TypeVar("T")

SLOW_S = 2.0
"""A healthy server answers the question for its progress in some milliseconds, whatever it is doing."""
FACTS_WITHIN_S = 10.0
"""No further question is begun after this; a page waits for the verdict."""
MOST_CHARACTERS = 200
NOT_TOLD = "not told"


def inspect(
    client: WebUIClient, *, memory_words: Callable[[], str], clock: Callable[[], float] = time.monotonic
) -> ConnectionVerdict:
    """One look at a server that accepts connections and has settled."""
    began_s = clock()
    try:
        client.progress()
    except WebUIError as exc:
        return _no_progress(client, exc)
    return _works(client, clock() - began_s, memory_words, clock)


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
    if isinstance(error, WebUIUnavailableError) and not isinstance(error, WebUIGatewayError):
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
            f"No answer came within {client.timeouts.progress_s:g} s. It may hang, or be busy with its start; look at "
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


def _works(
    client: WebUIClient, answered_in_s: float, memory_words: Callable[[], str], clock: Callable[[], float]
) -> ConnectionVerdict:
    questions = _Questions(clock, clock() + FACTS_WITHIN_S)
    options = questions.ask(client.options)
    checkpoint = None if options is None else (options.sd_model_checkpoint or "")[:MOST_CHARACTERS]
    checkpoints = questions.ask(lambda: len(client.sd_models()))
    samplers = questions.ask(lambda: len(client.samplers()))
    has_page = questions.offers(client.ping)
    kind = _kind(client, questions, options)
    memory = questions.ask(memory_words)
    facts = (
        ("Kind", kind),
        ("Loaded checkpoint", NOT_TOLD if checkpoint is None else checkpoint or "none yet"),
        ("Checkpoints", _number(checkpoints)),
        ("Samplers", _number(samplers)),
        ("Memory", memory or NOT_TOLD),
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


def _kind(client: WebUIClient, questions: _Questions, options: ServerOptions | None) -> str:
    """As its catalog would say; not told where it did not answer a question that decides."""
    asked = {"sd-modules": client.sd_modules, "sd-vae": client.sd_vae, "scripts": client.scripts}
    offered = {name: questions.offers(question) for name, question in asked.items()}
    if options is None or None in offered.values():
        return NOT_TOLD
    settings = options.model_dump(exclude_unset=True)
    endpoints = frozenset(name for name, has in offered.items() if has)
    return detect(Signs(settings.keys(), endpoints, told_version(questions.ask(client.version)))).full_title


def _number(count: int | None) -> str:
    return NOT_TOLD if count is None else f"{count:,}"
