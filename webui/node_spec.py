"""How a node is configured, checked before it is written: address, credentials, start command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from webui import ports


class NodeRefusedError(ValueError):
    """A node cannot be added or changed like this; the message says why and what to give instead."""


@dataclass(frozen=True)
class NodeSpec:
    """How a node is configured, checked."""

    name: str
    base_url: str
    start_command: str = ""
    working_directory: str = ""
    api_auth: str = ""
    simulated: bool = False
    restart_command: str = ""

    def configuration(self) -> dict[str, object]:
        """The columns, by name, without the node's name."""
        return {field: value for field, value in vars(self).items() if field != "name"}


def check_spec(spec: NodeSpec) -> NodeSpec:
    """The same with a tidy address; raises NodeRefusedError with the one thing that is wrong."""
    try:
        validate_slug(spec.name)
    except ValidationError:
        raise NodeRefusedError(
            f"{spec.name!r} is no name for a node. Use letters, digits, - and _ only."
        ) from None
    if len(spec.name) > 50:
        raise NodeRefusedError(f"The name {spec.name!r} is longer than 50 characters. Give a shorter one.")
    try:
        ports.endpoint(spec.base_url)
    except ValueError as exc:
        raise NodeRefusedError(f"The address of node {spec.name} is wrong: {exc}") from None
    if "@" in spec.base_url:
        raise NodeRefusedError(
            f"The address of node {spec.name} holds credentials, which would be shown on pages. "
            "Give them apart: `node add --auth user:password`, or STABLENEW_WEBUI_AUTH."
        )
    problem = (
        auth_problem(spec.api_auth)
        or command_problem(spec.start_command)
        or command_problem(spec.restart_command, "restart command")
    )
    if spec.start_command and spec.restart_command:
        problem = (
            "A node with a start command is restarted by that. Give no restart command, or no start command."
        )
    if problem:
        raise NodeRefusedError(problem)
    tidy = spec.base_url.strip().rstrip("/")
    return NodeSpec(**{**vars(spec), "base_url": tidy})


def auth_problem(api_auth: str) -> str:
    """Why these credentials cannot work; empty when they can. The sentence does not repeat them."""
    user, separator, _ = api_auth.partition(":")
    if api_auth and not (user and separator):
        return "The credentials have no colon. Give user:password, as in the WebUI's --api-auth."
    return ""


def command_problem(command: str, what: str = "start command") -> str:
    """Why this command line cannot be started; empty when nothing speaks against it."""
    try:
        words = shlex.split(command)
    except ValueError as exc:
        return f"The {what} cannot be split into words ({exc}). Close its quotes."
    if command and not words:
        return f"The {what} holds only blanks. Give a command, or none for a server of someone else."
    return ""
