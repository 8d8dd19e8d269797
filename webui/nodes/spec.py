"""How a node is configured, checked before it is written: address, credentials, start command."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from webui.driver import TOKEN_USER, UnknownDriverError, driver_names, driver_of
from webui.http import ports
from webui.kinds import WorkKind
from webui.work.unit import DEFAULT_DRIVER

MOST_NAME_CHARACTERS = 50
MOST_ADDRESS_CHARACTERS = 500
MOST_AUTH_CHARACTERS = 200
MOST_CARD_CHARACTERS = 64
TOKEN: Final = re.compile(r"[\x20-\x39\x3b-\x7e]+")
"""What a header carries as it is; a colon parts the token from what stands before it."""


class NodeRefusedError(ValueError):
    """A node cannot be added or changed like this; the message says why and what to give instead.

    `field` names the part of the specification that is wrong; empty where it is none alone.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


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
    kind: str = WorkKind.IMAGE
    card: str = ""
    driver: str = DEFAULT_DRIVER

    def configuration(self) -> dict[str, object]:
        """The columns, by name, without the node's name."""
        return {field: value for field, value in vars(self).items() if field != "name"}


def check_spec(spec: NodeSpec) -> NodeSpec:
    """The same with tidy address and card; raises NodeRefusedError with the first thing that is wrong."""
    for field, problem in spec_problems(spec).items():
        raise NodeRefusedError(problem, field)
    return replace(
        spec,
        base_url=spec.base_url.strip().rstrip("/"),
        card=spec.card.strip(),
        api_auth=_kept_auth(spec.api_auth, spec.driver),
    )


def usual_driver(kind: str) -> str:
    """Who speaks to a server of this kind where nobody says; the default one for a kind that nobody takes."""
    takers = [name for name in driver_names() if kind in driver_of(name).kinds]
    return DEFAULT_DRIVER if DEFAULT_DRIVER in takers or not takers else takers[0]


def spec_problems(spec: NodeSpec) -> dict[str, str]:
    """Everything that is wrong, by the field that it is about: why, and what to give instead."""
    problems = {
        "name": name_problem(spec.name),
        "base_url": address_problem(spec.base_url, spec.name),
        "api_auth": auth_problem(spec.api_auth, spec.driver),
        "start_command": command_problem(spec.start_command),
        "restart_command": command_problem(spec.restart_command, "restart command"),
        "kind": kind_problem(spec.kind, spec.driver),
        "card": card_problem(spec.card),
        "driver": driver_problem(spec.driver),
    }
    if spec.start_command and spec.restart_command and not problems["restart_command"]:
        problems["restart_command"] = (
            "A node with a start command is restarted by that. Give no restart command, or no start command."
        )
    return {field: problem for field, problem in problems.items() if problem}


def name_problem(name: str) -> str:
    """Why a node cannot be called so; empty when it can."""
    try:
        validate_slug(name)
    except ValidationError:
        return f"{name!r} is no name for a node. Use letters, digits, - and _ only."
    if len(name) > MOST_NAME_CHARACTERS:
        return f"The name {name!r} is longer than {MOST_NAME_CHARACTERS} characters. Give a shorter one."
    return ""


def address_problem(base_url: str, name: str) -> str:
    """Why a WebUI cannot be expected there; empty when it can. Credentials in it are not repeated."""
    if "@" in base_url:
        return (
            f"The address of node {name} holds credentials, which would be shown on pages. Give them apart, "
            "as user and password: `node add --auth user:password`, or STABLENEW_WEBUI_AUTH."
        )
    if len(base_url) > MOST_ADDRESS_CHARACTERS:
        return f"The address of node {name} is longer than {MOST_ADDRESS_CHARACTERS} characters."
    try:
        ports.endpoint(base_url)
    except ValueError as exc:
        return f"The address of node {name} is wrong: {exc}"
    return ""


def auth_problem(api_auth: str, driver: str = DEFAULT_DRIVER) -> str:
    """Why these credentials cannot work; empty when they can. The sentence does not repeat them."""
    if api_auth and wants_token(driver):
        return _token_problem(api_auth.removeprefix(f"{TOKEN_USER}:"))
    user, separator, _ = api_auth.partition(":")
    if api_auth and not (user and separator):
        return "The credentials have no colon. Give user:password, as in the WebUI's --api-auth."
    if len(api_auth) > MOST_AUTH_CHARACTERS:
        return f"User and password together are longer than {MOST_AUTH_CHARACTERS} characters."
    return ""


def _token_problem(token: str) -> str:
    if not TOKEN.fullmatch(token) or token != token.strip():
        return (
            "A token has no colon, no blank at its ends and no letters beyond ASCII. Give the one that the worker was "
            "started with (STABLENEW_WORKER_TOKEN)."
        )
    if len(token) > MOST_AUTH_CHARACTERS - len(TOKEN_USER) - 1:
        return f"The token is longer than {MOST_AUTH_CHARACTERS - len(TOKEN_USER) - 1} characters."
    return ""


def wants_token(driver: str) -> bool:
    """Its servers take a token instead of user and password."""
    try:
        return bool(driver_of(driver).token_variable)
    except UnknownDriverError:
        return False


def _kept_auth(api_auth: str, driver: str) -> str:
    """A bare token is kept as the password of a user who is nobody."""
    if not api_auth or not wants_token(driver):
        return api_auth
    return f"{TOKEN_USER}:{api_auth.removeprefix(f'{TOKEN_USER}:')}"


def kind_problem(kind: str, driver: str = "") -> str:
    """Why a node cannot take this kind of work, spoken to by this driver; empty when it can."""
    if kind not in WorkKind.values:
        return f"{kind!r} is no kind of work. Give one of {', '.join(WorkKind)}."
    try:
        kinds = driver_of(driver).kinds if driver else (kind,)
    except UnknownDriverError:
        return ""
    if kind in kinds:
        return ""
    return (
        f"A node of driver {driver} takes {' or '.join(kinds)}, not {kind}. Give one of these, or another driver "
        f"(for {kind}: {usual_driver(kind)})."
    )


def card_problem(card: str) -> str:
    """Why a graphics card cannot be called so; empty when it can."""
    if len(card) > MOST_CARD_CHARACTERS:
        return f"The name of the card is longer than {MOST_CARD_CHARACTERS} characters. Give a shorter one."
    return ""


def driver_problem(driver: str) -> str:
    """Why a node cannot be spoken to so; empty when it can."""
    try:
        driver_of(driver)
    except UnknownDriverError as exc:
        return f"{exc} Give one of them."
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
