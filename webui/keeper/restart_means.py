"""How a server is restarted that we did not start: a configured command, its own API, or nobody's hand.

Each way is walked a step at a time by the node's keeper, which then waits until the server is ready again.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from webui.evidence.redaction import redact_text, secrets_of
from webui.http import ports
from webui.keeper.readiness import Readiness, Verdict
from webui.models import Node
from webui.nodes.connecting import ASK_TIMEOUTS, connect
from webui.private_files import make_private_folder
from webui.processes import boot_logs, process, tail_capture
from webui.work.told import ApiAnswer, Asked

logger = logging.getLogger(__name__)


def restart_means(node: Node) -> str:
    """How a restart of this node comes about, for a person."""
    if node.adopted_foreign:
        return "not by us: somebody else started it"
    if node.managed:
        return "by us"
    if node.restart_command:
        return f"by the command {ports.mask_command(node.restart_command)}"
    return "through its API if it offers that, else not by us"


@dataclass(frozen=True)
class Restarted:
    """What came of it; `problem` says for a person why the server was not restarted, empty if it was."""

    problem: str = ""


class RestartWalk(Protocol):
    def step(self) -> Restarted | None:
        """Does what is due; None while it goes on."""


def begin(node: Node, *, clock: Callable[[], float]) -> RestartWalk:
    """The restart of an attached server, by the means that its row gives."""
    if node.restart_command:
        return RestartByCommand(node, clock=clock)
    return RestartByApi(node, clock=clock)


class RestartByCommand:
    """Runs the row's command, without a shell, and ends it when it takes too long."""

    def __init__(self, node: Node, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit_s: float = settings.STABLENEW_RESTART_COMMAND_S
        self._ends_at = clock() + self._limit_s
        self._log = boot_logs.restart_log(node.name, node.generation + 1)
        self._problem = ""
        self._node_id = node.pk
        try:
            make_private_folder(self._log.parent)
            self._log.unlink(missing_ok=True)
            self._process = process.popen(
                shlex.split(node.restart_command),
                self._log,
                self._log,
                environment=process.environment_of_others(),
                working_directory=node.working_directory,
            )
        except (OSError, ValueError) as exc:
            place = f" {exc.filename}" if isinstance(exc, OSError) and exc.filename else ""
            words = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            self._problem = f"The restart command cannot be run ({words}:{place}). Correct it."
        boot_logs.remove_old_restart_logs(node.name)

    def step(self) -> Restarted | None:
        if self._problem:
            return Restarted(self._problem)
        status = self._process.poll()
        if status is None and self._clock() < self._ends_at:
            return None
        if status is None:
            self._end()
            return Restarted(
                f"The restart command was ended: it took longer than {self._limit_s:g} s. Give one that returns, "
                f"or raise STABLENEW_RESTART_COMMAND_S; its output is in {self._log}."
            )
        boot_logs.cap_file(self._log, max_bytes=settings.STABLENEW_LOG_MAX_BYTES)
        if status == 0:
            return Restarted()
        words = redact_text(tail_capture.last_line([self._log]), secrets_of(node_id=self._node_id))
        said = f"; its last line: {words}" if words else ""
        return Restarted(f"The restart command {process.exit_sentence(status)}{said}")

    def _end(self) -> None:
        """It and what it started, as far as that stayed in its session."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except OSError as exc:
            logger.warning("The restart command, process %d, does not end: %s", self._process.pid, exc)
        self._process.wait(process.KILLED_WAIT_S)


class RestartByApi:
    """Asks the server itself, after the same careful order: it may have started anew a moment ago."""

    def __init__(self, node: Node, *, clock: Callable[[], float]) -> None:
        self._node = node
        self._problem = ""
        self._steps = Readiness(
            node.base_url, ask=self._ask, settle_s=settings.STABLENEW_SETTLE_S, clock=clock
        )

    def step(self) -> Restarted | None:
        verdict = self._steps.step()
        if verdict is Verdict.READY:
            return Restarted(self._problem)
        if isinstance(self._steps.unreachable, ConnectionRefusedError):
            return Restarted()  # it is down: whoever keeps it running starts it, and we wait for that
        if self._steps.unreachable is not None:
            return Restarted(f"It was not restarted. {self._steps.reason}")
        return None

    def _ask(self) -> Asked:
        """The question is put once, whatever comes of it."""
        self._problem = connect(self._node, timeouts=ASK_TIMEOUTS).restart()
        return Asked(ApiAnswer.API)
