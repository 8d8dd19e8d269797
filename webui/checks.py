"""Settings of this app that cannot work, found at start-up. `docs/settings.md` says what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error

from webui.http import ports
from webui.nodes import spec

SETTINGS: Final = "settings"
"""The tag of all checks of what a user may set: a command asks these before it begins. What Django asks besides is of
the code, the same in every installation, and would load every page.
"""


def check_webui_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """webui.E001 address, E002 credentials, E003 commands, E004 simulator options, E005 too small a number."""
    return list(_problems())


def _problems() -> Iterator[CheckMessage]:
    url = settings.STABLENEW_WEBUI_URL
    if url:
        try:
            ports.endpoint(url)
        except ValueError:
            yield Error(
                "STABLENEW_WEBUI_URL is not an address of a WebUI.",
                hint="It looks like http://127.0.0.1:7860; without a WebUI, leave it empty.",
                id="webui.E001",
            )
    problem = spec.auth_problem(settings.STABLENEW_WEBUI_AUTH)
    if problem:
        yield Error("STABLENEW_WEBUI_AUTH cannot be used.", hint=problem, id="webui.E002")
    problem = spec.command_problem(settings.STABLENEW_WEBUI_COMMAND)
    if problem:
        yield Error("STABLENEW_WEBUI_COMMAND cannot be used.", hint=problem, id="webui.E003")
    problem = spec.command_problem(settings.STABLENEW_WEBUI_RESTART_COMMAND, "restart command")
    if settings.STABLENEW_WEBUI_RESTART_COMMAND and not (url and not settings.STABLENEW_WEBUI_COMMAND):
        problem = (
            "It is for a server that somebody else starts: set STABLENEW_WEBUI_URL, and no start command."
        )
    if problem:
        yield Error("STABLENEW_WEBUI_RESTART_COMMAND cannot be used.", hint=problem, id="webui.E003")
    problem = spec.command_problem(settings.STABLENEW_SIMULATOR_OPTIONS)
    if problem:
        yield Error("STABLENEW_SIMULATOR_OPTIONS cannot be used.", hint=problem, id="webui.E004")
    for name, least, unit in (
        ("STABLENEW_SETTLE_S", 0, "seconds"),
        ("STABLENEW_STOP_GRACE_S", 0, "seconds"),
        ("STABLENEW_READY_TIMEOUT_S", 1, "seconds"),
        ("STABLENEW_RESTART_COMMAND_S", 1, "seconds"),
        ("STABLENEW_LOG_MAX_BYTES", 100_000, "bytes"),
    ):
        if getattr(settings, name) < least:
            yield Error(f"{name} is too small.", hint=f"Give at least {least} {unit}.", id="webui.E005")
