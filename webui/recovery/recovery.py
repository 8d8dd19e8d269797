"""One generation request and what a failure of it costs: its evidence, one restart, and the one retry.

What is counted, written into tables or shown to people is the caller's, asked through `RecoveryHooks`; `job_id` is
only a label here. Nobody but the keeper restarts: a wish is written and awaited.

    send by policy -> evidence -> crash_suspected? -> restart, ready -> retry_started -> the same request once more
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, TypeVar

from webui.drivers.a1111.client import Payload
from webui.errors import WebUIBadAnswerError, WebUIError, crash_eligible
from webui.evidence.failure_artifacts import existing_artifacts, write_failure_artifacts
from webui.evidence.payload_shape import payload_keys
from webui.evidence.redaction import Secrets, redact_error, secrets_of
from webui.http.retry import STAGE_RETRY_POLICIES, RetryPolicy, policy_of, run_with_policy
from webui.nodes import wishes
from webui.recovery.boot_now import BootNow
from webui.recovery.hooks import Evidence as Evidence
from webui.recovery.hooks import RecoveryHooks as RecoveryHooks
from webui.recovery.hooks import RestartAndWait, Sender
from webui.recovery.hooks import Sending as Sending

T = TypeVar("T")
logger = logging.getLogger(__name__)

ASK_EVERY_S: Final = 0.2
"""While we wait, the caller is asked so often whether to go on."""
RECOVERY: Final = "(runner)"
"""Who wishes the restart, as the node's row and page show it."""


class RecoveryEnding(StrEnum):
    """DONE; REFUSED: no retry is due; EXHAUSTED: the retry failed, or there was none left;

    RESTART_FAILED: the WebUI did not become ready, the caller may try later; ABANDONED: `waiting` said stop.
    """

    DONE = "done"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    RESTART_FAILED = "restart_failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class RecoveryOutcome(Generic[T]):
    """`artifact_paths` are all that exist for this request, the newest pair first."""

    ending: RecoveryEnding
    value: T | None = None
    error: WebUIError | None = None
    artifact_paths: tuple[Path, ...] = ()


def generate_images_with_recovery(
    stage: str,
    payload: Payload,
    run_dir: Path | None,
    job_id: int | str,
    hooks: RecoveryHooks[T],
    *,
    node_id: int,
    client: Sender,
    generation: int,
    policy: RetryPolicy | None = None,
    in_retry: bool = False,
    known_ready: bool = False,
    restart: RestartAndWait = wishes.restart_and_wait_ready,
    sleep: Callable[[float], None] = time.sleep,
) -> RecoveryOutcome[T]:
    """What `hooks.perform` made of the answer, after one restart and one retry if need be.

    `run_dir` takes the evidence of failures (None: none is written). `in_retry` says that the retry was granted
    and begun before, so that this request is part of it; `known_ready` that the caller has just seen the node READY.
    """
    request = _Request(
        stage=stage,
        payload=payload,
        run_dir=run_dir,
        job_id=job_id,
        hooks=hooks,
        client=client,
        policy=policy or policy_of(STAGE_RETRY_POLICIES, stage),
        boot=BootNow(node_id, generation, known_ready),
        restart=restart,
        sleep=sleep,
        in_retry=in_retry,
    )
    try:
        return request.run()
    except _Abandoned:
        return request.outcome(RecoveryEnding.ABANDONED)


class _Abandoned(Exception):  # noqa: N818 - a way for a wait to end, no error
    """`waiting` said stop."""


@dataclass(slots=True)
class _Request(Generic[T]):
    stage: str
    payload: Payload
    run_dir: Path | None
    job_id: int | str
    hooks: RecoveryHooks[T]
    client: Sender
    policy: RetryPolicy
    boot: BootNow
    restart: RestartAndWait
    sleep: Callable[[float], None]
    in_retry: bool
    attempt: int = 0
    sent_to: int = 0
    error: WebUIError | None = None
    artifact_paths: tuple[Path, ...] = ()
    secrets: Secrets | None = None

    def run(self) -> RecoveryOutcome[T]:
        """The sequence of the module's docstring."""
        try:
            return self.outcome(RecoveryEnding.DONE, self._send_by_policy())
        except WebUIError as error:
            failure = error
        needs_restart = crash_eligible(failure)
        if not needs_restart and not isinstance(failure, WebUIBadAnswerError):
            return self.outcome(RecoveryEnding.REFUSED)
        if not self.hooks.crash_suspected(self._evidence(failure, needs_restart)):
            return self.outcome(RecoveryEnding.EXHAUSTED)
        if needs_restart and not self._restart(failure):
            return self.outcome(RecoveryEnding.RESTART_FAILED)
        self.hooks.retry_started()
        self.in_retry = True
        try:
            return self.outcome(RecoveryEnding.DONE, self._send_by_policy())
        except WebUIError:
            return self.outcome(RecoveryEnding.EXHAUSTED)

    def outcome(self, ending: RecoveryEnding, value: T | None = None) -> RecoveryOutcome[T]:
        if self.error is None:
            return RecoveryOutcome(ending, value)
        error = None if ending is RecoveryEnding.DONE else self.error
        return RecoveryOutcome(ending, value, error, existing_artifacts(self.run_dir, self.artifact_paths))

    def _send_by_policy(self) -> T:
        """One round of the policy; raises the redacted error that is left, its evidence on disk."""
        try:
            return run_with_policy(
                self._send,
                self.policy,
                stage=self.stage,
                retry_callback=self._repeat,
                sleep=self._wait,
                before_attempt=self._before_attempt,
                is_transient=self.boot.is_transient,
            )
        except WebUIError as error:
            self.error = self._redacted(error)
            written = self._write_artifacts(self.error)
            self.hooks.failed(self.error, written, again=False)
            raise

    def _before_attempt(self, attempt: int, waited_s: float) -> None:
        self.attempt = attempt
        self.boot.await_ready(self._wait)
        self.sent_to = self.boot.generation
        self.hooks.before_send(
            Sending(
                stage=self.stage,
                attempt=attempt,
                max_attempts=self.policy.max_attempts,
                wait_s=waited_s,
                in_retry=self.in_retry,
                generation=self.sent_to,
            )
        )

    def _send(self) -> T:
        try:
            return self.hooks.perform(lambda: self.client.send(self.payload, stage=self.stage))
        except WebUIError as error:
            self.error = self._redacted(error)
            raise

    def _redacted(self, error: WebUIError) -> WebUIError:
        """In place; the secrets are gathered at the first failure, which most requests never see."""
        if self.secrets is None:
            self.secrets = secrets_of(self.payload, node_id=self.boot.node_id)
        return redact_error(error, self.secrets)

    def _repeat(self, stage: str, attempt: int, max_attempts: int, reason: str, delay_s: float) -> None:
        if self.error is not None:
            self.hooks.failed(self.error, (), again=True)
        logger.info(
            "Stage %s of job %s was not taken (attempt %d of %d), once more in %.1f s: %s",
            stage,
            self.job_id,
            attempt,
            max_attempts,
            delay_s,
            reason,
            extra={"event": "webui.http.retry", "job_id": self.job_id, "stage": stage, "attempt": attempt},
        )

    def _wait(self, wait_s: float) -> None:
        """Counted in slices, and not by the clock, so that the caller is asked however long a slice takes."""
        left_s = wait_s
        while left_s > 0:
            if not self.hooks.waiting():
                raise _Abandoned
            slice_s = min(left_s, ASK_EVERY_S)
            self.sleep(slice_s)
            left_s -= slice_s

    def _write_artifacts(self, error: WebUIError) -> tuple[Path, ...]:
        if self.run_dir is None:
            return ()
        self.artifact_paths = write_failure_artifacts(
            self.run_dir,
            payload=self.payload,
            stage=self.stage,
            attempt=self.attempt,
            error=error,
            node_id=self.boot.node_id,
            generation=self.sent_to,
        )
        return self.artifact_paths

    def _evidence(self, error: WebUIError, needs_restart: bool) -> Evidence:
        return Evidence(
            stage=self.stage,
            attempt=self.attempt,
            error=error,
            restart=needs_restart,
            generation=self.sent_to,
            payload_keys=payload_keys(self.payload),
            artifact_paths=self.artifact_paths,
        )

    def _restart(self, error: WebUIError) -> bool:
        stopped = False

        def waiting() -> bool:
            nonlocal stopped
            stopped = stopped or not self.hooks.waiting()
            return not stopped

        generation = self.restart(
            self.boot.node_id,
            by=RECOVERY,
            reason=f"{error.code} in stage {self.stage} of job {self.job_id}",
            generation=self.sent_to,
            waiting=waiting,
        )
        if stopped and not generation:
            raise _Abandoned
        if not generation:
            return False
        self.boot.generation = generation
        self.hooks.restarted(generation)
        return True
