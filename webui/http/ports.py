"""TCP facts about an address: who listens, who accepts, what is free. No HTTP: `readiness` decides when."""

from __future__ import annotations

import errno
import re
import shlex
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from webui.http.address import host_problem

DEFAULT_PORTS = {"http": 80, "https": 443}
SECRET_OPTION = re.compile(r"--?[\w-]*(?:auth|password|passwd|token|secret|key)[\w-]*", re.IGNORECASE)
"""Options whose value is a secret, of a WebUI and of whatever starts one."""
SECRET_VARIABLE = re.compile(r"\w*(?:auth|password|passwd|token|secret|key)\w*", re.IGNORECASE)
"""Variables set in front of a command whose value is a secret."""
USER_OPTIONS = frozenset({"-u", "--user", "--proxy-user", "-U"})
"""Options whose value may be a user with a password."""
_IN_ADDRESS = re.compile(r"(://)[^\s/@]+@")
COMMAND_LIMIT = 200
"""Characters of a command line that a sentence repeats."""


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port; `command` has its passwords masked."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})" if self.command else f"process {self.pid}"


def endpoint(base_url: str) -> tuple[str, int]:
    """Host and port of an http(s) address; ValueError if it is none."""
    try:
        parts = urlsplit(base_url.strip())
        port = parts.port
    except ValueError as exc:
        raise ValueError(
            f"{base_url!r} is not an address: {exc}. It looks like http://127.0.0.1:7860"
        ) from exc
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment or port == 0:
        raise ValueError(f"{base_url!r} is not an address. It looks like http://127.0.0.1:7860")
    if problem := host_problem(parts.hostname):
        raise ValueError(f"{base_url!r} is not an address: {problem}. It looks like http://127.0.0.1:7860")
    return parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def connect_problem(host: str, port: int, timeout_s: float) -> OSError | None:
    """What a bare TCP connect met: None when somebody accepted it. Nothing is sent."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return None
    except OSError as exc:
        return exc
    except UnicodeError as exc:
        # A name that no resolver is asked for.
        return OSError(errno.EINVAL, f"the name cannot be looked up ({exc})")


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def holder(port: int) -> Holder | None:
    """Who listens on this machine's port; None where nobody does or the system does not tell us."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    pids = [
        connection.pid
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port
    ]
    for pid in pids:
        if pid is not None:
            return Holder(pid, command_of(pid))
    return None


def command_of(pid: int) -> str:
    """Its command line with passwords masked; empty when the process is gone or hidden."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return ""
    text = " ".join(mask_secrets(words))
    return text if len(text) <= COMMAND_LIMIT else text[:COMMAND_LIMIT] + "..."


def mask_command(command: str) -> str:
    """A command as a person wrote it, its secrets masked; all of it where its quotes do not close."""
    try:
        return " ".join(mask_secrets(shlex.split(command)))
    except ValueError:
        return "***"


def mask_secrets(words: list[str]) -> list[str]:
    """A command line whose password options, variables and addresses show *** instead of what is secret."""
    shown: list[str] = []
    hide_next = False
    before = ""
    for word in words:
        name, equals, value = word.partition("=")
        if hide_next or (before in USER_OPTIONS and ":" in word):
            shown.append("***")
            hide_next = False
        elif SECRET_OPTION.fullmatch(name):
            shown.append(f"{name}=***" if equals else name)
            hide_next = not equals
        elif equals and SECRET_VARIABLE.fullmatch(name):
            shown.append(f"{name}=***")
        elif equals and " " not in name and value.startswith("-"):
            # Options within a variable: COMMANDLINE_ARGS="--api-auth user:password".
            shown.append(f"{name}={mask_command(value)}")
        elif " " in word:
            # A command within the command, as of `sh -c`.
            shown.append(mask_command(word))
        else:
            shown.append(_IN_ADDRESS.sub(r"\1***@", word))
        before = word
    return shown
