"""One request and what a failure of it costs: one restart and the one retry. It decides, and never holds the request.

What is sent, counted, written into tables or kept as evidence is the caller's. Nobody but the keeper restarts: a wish
is written and awaited.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from django.conf import settings

from webui.errors import WebUIBadAnswerError, WebUIError, WebUIGatewayError, crash_eligible
from webui.http.retry import ONCE, STAGE_RETRY_POLICIES, RetryPolicy, run_with_policy
from webui.nodes import wishes
from webui.nodes.asking import RUNNER
from webui.recovery.boot_now import BootNow
from webui.recovery.hooks import RecoveryHooks as RecoveryHooks
from webui.recovery.hooks import RestartAndWait
from webui.recovery.hooks import Sending as Sending

T = TypeVar("T")
logger = logging.getLogger(__name__)

ASK_EVERY_S: Final = 0.2
"""While we wait, the caller is asked so often whether to go on."""
LEFTOVER_EVERY_S: Final = 1.0
"""So often the WebUI is asked whether a request whose answer was lost is over."""


class RecoveryEnding(StrEnum):
    """DONE; REFUSED: no retry is due; EXHAUSTED: the retry failed, or there was none left;

    RESTART_FAILED: the WebUI did not become ready, the caller may try later.
    """

    DONE = "done"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    RESTART_FAILED = "restart_failed"


@dataclass(frozen=True, slots=True)
class RecoveryOutcome(Generic[T]):
    """`value` is what `send` returned; `error` the last failure where it did not come to that."""

    ending: RecoveryEnding
    value: T | None = None
    error: WebUIError | None = None


def generate_images_with_recovery(
    stage: str,
    send: Callable[[Sending], T],
    hooks: RecoveryHooks,
    *,
    node_id: int,
    generation: int,
    job_id: int | str = "",
    policy: RetryPolicy | None = None,
    in_retry: bool = False,
    known_ready: bool = False,
    restart: RestartAndWait = wishes.restart_and_wait_ready,
    sleep: Callable[[float], None] = time.sleep,
) -> RecoveryOutcome[T]:
    """What `send` returned, after one restart and one retry if need be.

    1. Wait until the node is READY or nobody is making it so: an early request kills a real server.
    2. `send`: one POST, proved and kept. Done: DONE.
    3. Refused for the moment: `failed(again)`, the wait of the stage's policy, then from 1, as often as it allows.
    4. Any other failure: `failed`, which keeps the evidence. Rejected: REFUSED, nothing is repeated.
    5. `crash_suspected` charges the one retry. None left: EXHAUSTED.
    6. A crash (a bad answer skips this): wish a restart of the boot that failed, wait, `restarted`. Not READY:
       RESTART_FAILED, and the retry stays charged for later. An answer of something in front of the WebUI: no restart
       while the WebUI says that the request is over, which is ended first.
    7. `retry_started`, then 1 to 4 once more. A second failure: EXHAUSTED.

    `in_retry` says that the retry was granted and begun before, so that this request is part of it; `known_ready` that
    the caller has just seen the node READY; `job_id` is only a label here.
    """
    return _Recovery(
        stage=stage,
        send=send,
        hooks=hooks,
        job_id=job_id,
        policy=policy or STAGE_RETRY_POLICIES.get(stage, ONCE),
        boot=BootNow(node_id, generation),
        restart=restart,
        sleep=sleep,
        in_retry=in_retry,
        known_ready=known_ready,
    ).run()


@dataclass(slots=True)
class _Recovery(Generic[T]):
    stage: str
    send: Callable[[Sending], T]
    hooks: RecoveryHooks
    job_id: int | str
    policy: RetryPolicy
    boot: BootNow
    restart: RestartAndWait
    sleep: Callable[[float], None]
    in_retry: bool
    known_ready: bool
    sending: Sending | None = None
    error: WebUIError | None = None

    def run(self) -> RecoveryOutcome[T]:
        """The numbered sequence."""
        try:
            return RecoveryOutcome(RecoveryEnding.DONE, self._send_by_policy())
        except WebUIError as error:
            failure = error
        needs_restart = crash_eligible(failure)
        worth_a_retry = isinstance(failure, WebUIBadAnswerError) and failure.again
        if not needs_restart and not worth_a_retry and not isinstance(failure, WebUIGatewayError):
            return self._ended(RecoveryEnding.REFUSED)
        if not self.hooks.crash_suspected(failure, restart=needs_restart):
            return self._ended(RecoveryEnding.EXHAUSTED)
        if isinstance(failure, WebUIGatewayError):
            # The WebUI may still work on it, and the retry must not run beside it.
            needs_restart = not self._leftover_ends()
        if needs_restart and not self._restart(failure):
            return self._ended(RecoveryEnding.RESTART_FAILED)
        self.hooks.retry_started()
        self.in_retry = True
        try:
            return RecoveryOutcome(RecoveryEnding.DONE, self._send_by_policy())
        except WebUIError:
            return self._ended(RecoveryEnding.EXHAUSTED)

    def _ended(self, ending: RecoveryEnding) -> RecoveryOutcome[T]:
        return RecoveryOutcome(ending, error=self.error)

    def _send_by_policy(self) -> T:
        """One round of the policy; raises the error that is left, its evidence kept."""
        try:
            return run_with_policy(
                self._send,
                self.policy,
                stage=self.stage,
                retry_callback=self._repeat,
                sleep=self._wait,
                is_transient=self.boot.is_transient,
            )
        except WebUIError as error:
            self.error = error
            self.hooks.failed(error, again=False)
            raise

    def _send(self, attempt: int, waited_s: float) -> T:
        if not self.known_ready:
            self.boot.await_ready(self._wait)
        self.known_ready = False
        self.sending = Sending(
            stage=self.stage,
            attempt=attempt,
            max_attempts=self.policy.max_attempts,
            wait_s=waited_s,
            in_retry=self.in_retry,
            generation=self.boot.generation,
        )
        try:
            return self.send(self.sending)
        except WebUIError as error:
            self.error = error
            raise

    def _repeat(self, stage: str, attempt: int, max_attempts: int, reason: str, delay_s: float) -> None:
        if self.error is not None:
            self.hooks.failed(self.error, again=True)
        logger.info(
            "Stage %s of job %s was not taken (attempt %d of %d), once more in %.1f s: %s",
            stage,
            self.job_id,
            attempt,
            max_attempts,
            delay_s,
            reason,
            extra={"event": "webui.retry", "job_id": self.job_id, "stage": stage, "attempt": attempt},
        )

    def _wait(self, wait_s: float) -> None:
        """Counted in slices, and not by the clock, so that the caller is asked however long a slice takes."""
        left_s = wait_s
        while left_s > 0:
            self.hooks.waiting()
            slice_s = min(left_s, ASK_EVERY_S)
            self.sleep(slice_s)
            left_s -= slice_s

    def _leftover_ends(self) -> bool:
        """Whether the request whose answer was lost is over within `STABLENEW_QUIET_S`; it is interrupted."""
        left_s = settings.STABLENEW_QUIET_S
        while not self.hooks.leftover_is_over():
            if left_s <= 0:
                return False
            self._wait(LEFTOVER_EVERY_S)
            left_s -= LEFTOVER_EVERY_S
        return True

    def _restart(self, error: WebUIError) -> bool:
        generation = self.restart(
            self.boot.node_id,
            by=RUNNER,
            reason=f"stage {self.stage} of job {self.job_id} failed. {error.told_of(error.server).what}",
            generation=self.sending.generation if self.sending else self.boot.generation,
            waiting=self.hooks.waiting,
        )
        if not generation:
            return False
        self.boot.generation = generation
        self.hooks.restarted(generation)
        return True
