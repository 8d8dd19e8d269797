"""One request of a run: send it, watch it, interrupt it when somebody wants the job stopped.

What becomes of the job is decided in `jobs.running.run`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import psutil
from django.conf import settings

from jobs.models import Runner
from jobs.queue.claims import Claim
from jobs.running.departures import DrainedRun
from jobs.running.hang import STEPS_OF_PATIENCE, Stillness
from jobs.running.live_preview import PreviewWatch
from jobs.running.own_machine import own_fault
from jobs.running.progress import FIRST_LOOK_S, LOOK_S, ProgressBoard
from jobs.running.requests import Unit
from jobs.running.stop_signals import StopSignals
from webui.books import surely
from webui.circumstances import start_thread
from webui.driver import Server
from webui.errors import (
    WebUIBadAnswerError,
    WebUIConnectionLostError,
    WebUIError,
    WebUIGatewayError,
    WebUIHangError,
    WebUINotSentError,
    WebUITimeoutError,
    WebUITooFewPicturesError,
    WebUIUnavailableError,
)
from webui.nodes.asking import RUNNER, SUPERVISOR
from webui.nodes.wishes import wished_away
from webui.processes.process import is_process_alive
from webui.work.told import Patience, Progress
from webui.work.unit import Request

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: So many refused connections in a row, a second apart, and the WebUI is gone.
REFUSALS = 3


def is_silence(problem: WebUIError) -> bool:
    """Whether a question was taken and never answered, also where a proxy waited in our place."""
    if isinstance(problem, WebUIGatewayError):
        return problem.status in (408, 504)
    return isinstance(problem, WebUITimeoutError)


class BackgroundCall(Generic[T]):
    """One request in a thread that touches no database; `done` is set when it has ended, `error` if it failed.

    Raises OSError where no thread can be started: then nothing was sent.
    """

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self.done = threading.Event()
        self._call = call
        self._result: T | None = None
        self.error: BaseException | None = None
        start_thread(self._run, name)

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that asked, which raises it
            self.error = exc
        finally:
            self.done.set()

    def wait(self) -> T:
        """The answer, or the error that the call raised."""
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]


@dataclass(slots=True)
class InFlight:
    """Sends the requests of one run, one at a time.

    `meanwhile` is called whenever a request has just left: for what need not delay it.
    """

    claim: Claim
    server: Server
    board: ProgressBoard
    signals: StopSignals
    previews: PreviewWatch
    meanwhile: Callable[[], None] = lambda: None
    _refused: int = 0
    """How often in a row the WebUI could not even be reached."""
    _afterwards: BackgroundCall[Progress | None] | None = None

    def send(
        self,
        request: Request,
        unit: Unit,
        keep_partial: Callable[[Sequence[bytes]], None],
    ) -> Sequence[bytes]:
        """The pictures of the answer. A stop that was asked for meanwhile is raised after the answer has come.

        An answer that was complete before our interrupt counts. Raises `WebUIError`, `FencedError`, `RunError`;
        where the WebUI stands still or is gone, at once: the request may then still hang until the restart.
        Before the pictures are accepted, `confirm` must be asked.
        """
        call = BackgroundCall(partial(self.server.send, request), name=f"post-{request.task_id}")
        self.meanwhile()
        interrupted = self._watch(call, request, unit)
        stop = self.signals.stop
        if stop is not None and (interrupted or call.error is not None):
            keep_partial(_pictures_of(call))
            raise stop
        if isinstance(call.error, WebUIUnavailableError) and self._taken_by_an_operator():
            raise DrainedRun
        pictures = call.wait()
        if request.samples:
            self._afterwards = BackgroundCall(self._look, f"after-{request.task_id}")
        return pictures

    def _watch(self, call: BackgroundCall[Sequence[bytes]], request: Request, unit: Unit) -> bool:
        """Wait for the answer; True when we interrupted it."""
        interrupted, stop_since, look_s = False, 0.0, FIRST_LOOK_S
        still = Stillness(
            settings.STABLENEW_HANG_IDLE_S,
            settings.STABLENEW_HANG_BUSY_S,
            self.claim.runner.longest_step_s,
            {
                Patience.STEP: settings.STABLENEW_HANG_STEP_S,
                Patience.PHASE: settings.STABLENEW_HANG_PHASE_S,
            },
        )
        self._refused = 0
        while not call.done.wait(look_s):
            look_s = LOOK_S
            self.signals.read()
            asked_s = time.monotonic()
            progress, problem = self._ask()
            silent = problem is not None and is_silence(problem)
            still_s = still.look(progress, asked_s, silent=silent)
            silent_s = time.monotonic() - still.silent_since if still.silent_since is not None else None
            preview = self.previews.look(request.task_id, progress)
            self.board.show(unit, progress, preview=preview, silent_s=silent_s)
            if self.signals.stop is None:
                self._require_life(still_s, call, request, answers=progress is not None, silent=silent)
                continue
            stop_since = stop_since or time.monotonic()
            active = self.server.is_running(request.task_id, alone=self.claim.node.managed)
            # The answer may have come while we asked; then it was complete before any interrupt.
            if active and not call.done.is_set():
                interrupted = self._interrupt() or interrupted
            if time.monotonic() - stop_since > settings.STABLENEW_CANCEL_GRACE_S:
                self.signals.ask_restart(f"the interrupted request of job {self.claim.job_id} did not end")
                stop_since, interrupted = time.monotonic(), True
        self._remember_step(still.longest_step_s)
        return interrupted

    def _ask(self) -> tuple[Progress | None, WebUIError | None]:
        """Where the WebUI is, or why it does not say just now: unreadable alone proves nothing."""
        progress = problem = None
        try:
            progress = self.server.progress()
        except WebUIError as exc:
            problem = exc
            logger.debug("Progress could not be read: %s", exc)
        # Where we have nothing left to ask with, the WebUI has refused nothing.
        refused = isinstance(problem, WebUINotSentError) and own_fault(problem) is None
        self._refused = self._refused + 1 if refused else 0
        return progress, problem

    def _look(self) -> Progress | None:
        return self._ask()[0]

    def _require_life(
        self,
        still_s: float | None,
        call: BackgroundCall[Sequence[bytes]],
        request: Request,
        *,
        answers: bool,
        silent: bool,
    ) -> None:
        """Raises when there is no more point in waiting: the WebUI stands still, or it is gone.

        One that answers is there, although our process may be dead: who restarted it by hand was quicker than our
        own start, and works for us.
        """
        facts: dict[str, Any] = {"endpoint": request.endpoint, "method": "POST", "stage": request.stage}
        if call.done.is_set():
            return
        dead = not answers and self._owns_process() and self._process_has_ended()
        gone = dead or self._refused >= REFUSALS
        if gone and not call.done.wait(LOOK_S):
            if self._taken_by_an_operator():
                raise DrainedRun
            raise WebUIConnectionLostError("its process is gone or refuses connections", **facts)
        if not gone and still_s is not None:
            words = f"its progress has not changed for {still_s:.0f} s"
            if silent:
                words = f"it accepts connections and has answered nothing for {still_s:.0f} s"
            raise WebUIHangError(words, elapsed_s=still_s, **facts)

    def _owns_process(self) -> bool:
        return self.claim.node.managed and not self.claim.node.adopted_foreign

    def _process_has_ended(self) -> bool:
        """What cannot be looked at now has not ended."""
        try:
            return not is_process_alive(self.claim.node)
        except (OSError, psutil.Error) as exc:
            logger.warning("The process of node %s could not be looked at: %s", self.claim.node.name, exc)
            return False

    def _remember_step(self, longest_step_s: float) -> None:
        """Only where it changes what counts as standing still: rarely."""
        runner = self.claim.runner
        if longest_step_s > max(runner.longest_step_s, settings.STABLENEW_HANG_BUSY_S / STEPS_OF_PATIENCE):
            runner.longest_step_s = longest_step_s
            row = Runner.objects.filter(pk=runner.pk)
            surely(row.update, longest_step_s=longest_step_s)

    def _interrupt(self) -> bool:
        try:
            self.server.interrupt()
        except WebUIError as exc:
            logger.info("The interrupt was not taken: %s", exc)
            return False
        return True

    def _taken_by_an_operator(self) -> bool:
        """Whether a person asked for the very stop or restart that ended our request."""
        return surely(wished_away, self.claim.node, except_by=(RUNNER, SUPERVISOR))

    def confirm(self, request: Request) -> None:
        """Raises `WebUIBadAnswerError` if the last request was interrupted or skipped by someone else.

        The answer to such a request is 200 with a half-made picture: only progress tells, which is asked while
        the pictures are written.
        """
        if self._afterwards is None or not request.samples:
            return
        progress = self._afterwards.wait()
        if progress is not None and progress.disturbed:
            raise WebUIBadAnswerError(
                "the request was interrupted or skipped in the WebUI by someone else",
                endpoint=request.endpoint,
                method="POST",
                stage=request.stage,
                status=200,
            )


def _pictures_of(call: BackgroundCall[Sequence[bytes]]) -> Sequence[bytes]:
    """Whatever pictures a stopped request brought."""
    try:
        return call.wait()
    except WebUITooFewPicturesError as exc:
        return exc.pictures
    except WebUIError:
        return ()
