"""System checks of the queue's settings: values that measurements demand, and an order that must hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error

from jobs.lifecycle import TruthPolicy

#: What the engine must be told, and why anything else goes wrong.
ENGINE: Final[dict[str, tuple[str, object, str]]] = {
    "workers": ("jobs.E001", 1, "One worker per node: a WebUI renders one job at a time."),
    "queue_limit": ("jobs.E002", 1, "More would be taken ahead of the claim that decides the order."),
    "bulk": ("jobs.E003", 1, "More would be taken ahead of the claim that decides the order."),
    "guard_cycle": ("jobs.E004", 0.5, "With other values the guard misses a worker that must be killed."),
    "ack_failures": ("jobs.E005", True, "A wake-up that failed would come back for ever."),
    "max_attempts": ("jobs.E006", 1, "A wake-up is not retried; the queue sends a new one."),
    "save_limit": ("jobs.E007", -1, "Keeping the engine's results makes every wake-up slower."),
    "scheduler": ("jobs.E008", False, "Nothing here is scheduled by the engine."),
    "ALT_CLUSTERS": ("jobs.E009", {}, "Without it a node cannot have a queue of its own."),
    "orm": ("jobs.E010", "default", "Wake-ups commit together with the job rows only in the same database."),
}
MAX_POLL_S: Final = 1.0


def check_engine(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """`Q_CLUSTER` holds what the queue was designed and measured with."""
    cluster: dict[str, Any] = settings.Q_CLUSTER
    found: list[CheckMessage] = [
        Error(
            f"Q_CLUSTER[{name!r}] is {cluster.get(name)!r}, not {wanted!r}.",
            hint=f"{why} Set it to {wanted!r}.",
            id=check_id,
        )
        for name, (check_id, wanted, why) in ENGINE.items()
        if cluster.get(name) != wanted
    ]
    poll_s = cluster.get("poll")
    if not isinstance(poll_s, int | float) or not 0 < poll_s <= MAX_POLL_S:
        found.append(
            Error(
                f"Q_CLUSTER['poll'] is {poll_s!r}.",
                hint=f"Jobs would wait that long for their wake-up. Set it above 0 and up to {MAX_POLL_S:g} s.",
                id="jobs.E011",
            )
        )
    return found


def check_deadlines(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each backstop lies above what it backs: hang < read < job < engine timeout, and the lease outlives a renewal."""
    cluster: dict[str, Any] = settings.Q_CLUSTER
    timeout, retry = cluster.get("timeout"), cluster.get("retry")
    found: list[CheckMessage] = []
    if not isinstance(timeout, int) or isinstance(timeout, bool):
        hint = "The engine counts whole seconds. Give a whole number."
        found.append(Error(f"Q_CLUSTER['timeout'] is {timeout!r}.", hint=hint, id="jobs.E012"))
        return found
    order = [
        ("STABLENEW_HANG_BUSY_S", settings.STABLENEW_HANG_BUSY_S),
        ("STABLENEW_HANG_IDLE_S", settings.STABLENEW_HANG_IDLE_S),
        ("STABLENEW_STAGE_DEADLINE_S", settings.STABLENEW_STAGE_DEADLINE_S),
        ("STABLENEW_JOB_DEADLINE_S", settings.STABLENEW_JOB_DEADLINE_S),
        ("STABLENEW_TASK_TIMEOUT_S", timeout),
    ]
    of_films = [
        ("STABLENEW_HANG_STEP_S", settings.STABLENEW_HANG_STEP_S),
        ("STABLENEW_HANG_PHASE_S", settings.STABLENEW_HANG_PHASE_S),
    ]
    film = ("STABLENEW_FILM_DEADLINE_S", settings.STABLENEW_FILM_DEADLINE_S)
    for (lower, low), (upper, high) in (*pairwise(order), *((one, film) for one in of_films)):
        if not 0 < low < high:
            hint = (
                f"{lower} must end first, so that its own handling comes before the backstop. Raise {upper}."
            )
            found.append(
                Error(f"{lower} ({low:g} s) is not below {upper} ({high:g} s).", hint=hint, id="jobs.E013")
            )
    if not isinstance(retry, int | float) or retry < 3 * timeout:
        hint = "A wake-up would be handed out twice. Keep it at least three times the timeout."
        found.append(Error(f"Q_CLUSTER['retry'] is {retry!r}.", hint=hint, id="jobs.E014"))
    if not 0 < 2 * settings.STABLENEW_LEASE_RENEW_S <= settings.STABLENEW_LEASE_S:
        found.append(
            Error(
                f"A lease of {settings.STABLENEW_LEASE_S:g} s (STABLENEW_LEASE_S) does not outlive two renewals "
                f"of {settings.STABLENEW_LEASE_RENEW_S:g} s (STABLENEW_LEASE_RENEW_S).",
                hint="One late renewal would take the job from a healthy worker. Raise the lease.",
                id="jobs.E015",
            )
        )
    if settings.STABLENEW_MAX_RECORDS < 1:
        hint = "Nothing could be submitted. Give at least 1."
        message = f"STABLENEW_MAX_RECORDS is {settings.STABLENEW_MAX_RECORDS}."
        found.append(Error(message, hint=hint, id="jobs.E016"))
    return found


def check_truth(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The policy for pictures that are not as asked is one that there is."""
    if settings.STABLENEW_TRUTH in TruthPolicy.values:
        return []
    hint = f"Give one of {', '.join(TruthPolicy.values)}."
    return [Error(f"STABLENEW_TRUTH is {settings.STABLENEW_TRUTH!r}.", hint=hint, id="jobs.E023")]


def check_breaker(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A breaker that can open, and whose pauses grow from the first to the longest."""
    found: list[CheckMessage] = []
    if settings.STABLENEW_BREAKER_FAILURES < 1:
        message = f"STABLENEW_BREAKER_FAILURES is {settings.STABLENEW_BREAKER_FAILURES}."
        hint = "It counts the crashes that stop a node. Give at least 1."
        found.append(Error(message, hint=hint, id="jobs.E021"))
    pause_s, longest_s = settings.STABLENEW_BREAKER_PAUSE_S, settings.STABLENEW_BREAKER_MAX_PAUSE_S
    if not 0 < pause_s <= longest_s:
        found.append(
            Error(
                f"The first pause of a breaker, {pause_s:g} s (STABLENEW_BREAKER_PAUSE_S), is not above 0 and "
                f"up to the longest, {longest_s:g} s (STABLENEW_BREAKER_MAX_PAUSE_S).",
                hint="A node that crashes every job would be tried at the wrong times. Raise the longest.",
                id="jobs.E022",
            )
        )
    return found
