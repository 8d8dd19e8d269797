"""Does a worker answer as it should, and what does it have? For a person who tests a connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from webui.drivers.diffsynth.client import WorkerClient
from webui.drivers.diffsynth.schemas import FAILED, LOADING, ToldHealth
from webui.errors import (
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIError,
    WebUIGatewayError,
    WebUIRedirectError,
    WebUIRejectedError,
    WebUITimeoutError,
    WebUIUnavailableError,
)
from webui.words import ended, writable
from webui.work.told import ConnectionVerdict, Outcome

SLOW_S: Final = 2.0
NOT_TOLD: Final = "not told"
KINDS: Final = {"i2v": "image to video", "edit": "edits"}
MOST_CHARACTERS: Final = 300
PHASES: Final = {
    "import": "its libraries",
    "files": "and checks its files",
    "weights": "its model",
    "loras": "its LoRAs",
}
"""What a worker does before it is ready."""


def loading_words(address: str, health: ToldHealth) -> str:
    return f"The worker at {address} loads {PHASES.get(health.phase, 'its model')}."


def inspect(
    client: WorkerClient, *, memory_words: Callable[[], str], clock: Callable[[], float] = time.monotonic
) -> ConnectionVerdict:
    """One look at a server that accepts connections."""
    began_s = clock()
    try:
        health = client.health()
    except WebUIError as exc:
        return _no_health(client, exc)
    facts = _facts(health)
    if health.state == LOADING:
        loads = loading_words(client.base_url, health)
        advice = f"{loads} Test again in a moment. Its node is used as soon as it is ready."
        return ConnectionVerdict(Outcome.LOADING, "A DiffSynth worker answers, and is loading", advice, facts)
    if health.state == FAILED:
        reason = ended(writable(health.reason)[:1000] or "It gives no reason: see its log.")
        return ConnectionVerdict(
            Outcome.FAILS,
            "A DiffSynth worker answers, but it cannot work",
            f"{reason} Correct that where it was started, and start it again.",
            facts,
        )
    answered_in_s = clock() - began_s
    quick = f"{answered_in_s * 1000:.0f} ms" if answered_in_s < 0.1 else f"{answered_in_s:.1f} s"
    facts = (*facts, ("Memory", memory_words() or NOT_TOLD), ("Answered in", quick))
    if answered_in_s >= SLOW_S:
        advice = f"It took {answered_in_s:.1f} s to answer. Its machine or the network is busy."
        return ConnectionVerdict(Outcome.SLOW, "It works, but answers slowly", advice, facts)
    advice = f"Its work is {_kind(health.kind)}: give the node that kind."
    return ConnectionVerdict(Outcome.WORKS, "It works", advice, facts)


def _facts(health: ToldHealth) -> tuple[tuple[str, str], ...]:
    loras = ", ".join(one.name for one in health.loras)
    return (
        ("Kind", f"DiffSynth worker: {_kind(health.kind)}{' (simulated)' if health.simulated else ''}"),
        *(
            (name, writable(value)[:MOST_CHARACTERS])
            for name, value in (
                ("Model", health.model),
                ("Device", health.device),
                ("LoRAs", loras or ("none" if health.model else "")),
                ("DiffSynth", health.versions.get("diffsynth") or ""),
            )
            if value
        ),
    )


def _kind(kind: str) -> str:
    return KINDS.get(kind, kind[:20] or NOT_TOLD)


def _no_health(client: WorkerClient, error: WebUIError) -> ConnectionVerdict:
    """Most specific first, as the tree of errors has it."""
    if isinstance(error, WebUIAuthError):
        advice = "Give the token that it was started with (STABLENEW_WORKER_TOKEN), and no user."
        if client.auth:
            return ConnectionVerdict(Outcome.PASSWORD_REFUSED, "It refuses this token", advice)
        return ConnectionVerdict(Outcome.PASSWORD_WANTED, "It wants a token", advice)
    if isinstance(error, WebUIRedirectError):
        return ConnectionVerdict(
            Outcome.REDIRECTS,
            "It answers with a redirect",
            "Redirects are not followed. Give the address where the worker itself answers; with https:// if that is "
            "how it is served.",
        )
    if isinstance(error, (WebUIRejectedError, WebUIBadAnswerError)):
        status = f" (HTTP {error.status})" if error.status else ""
        return ConnectionVerdict(
            Outcome.OTHER_PROGRAM,
            "Something answers, but it is no DiffSynth worker",
            f"{client.base_url} gave another answer than a DiffSynth worker{status}. Correct the address and port, or "
            "choose what runs there.",
        )
    if isinstance(error, WebUITimeoutError):
        return ConnectionVerdict(
            Outcome.SILENT,
            "It accepts connections, but does not answer",
            f"No answer came within {client.timeouts.progress_s:g} s. It may hang, or import its libraries; look at "
            "its own log, and test again in a moment.",
        )
    if isinstance(error, WebUIUnavailableError) and not isinstance(error, WebUIGatewayError):
        other = "http" if client.base_url.startswith("https") else "https"
        return ConnectionVerdict(
            Outcome.SILENT,
            "It accepts connections, but ends them without an answer",
            f"It may have crashed just now, or speak {other}: then give the address with {other}://.",
        )
    return ConnectionVerdict(
        Outcome.FAILS,
        f"It answers with an error (HTTP {error.status})",
        "It may still be starting, or a proxy in front of it cannot reach it. Test again in a moment; then look at its "
        "own log.",
    )
