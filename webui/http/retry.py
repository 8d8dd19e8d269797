"""When a request that was refused for the moment is sent again: policies as values, and the one loop that waits.

Only transient failures are repeated. A 500 or a lost answer never is: the WebUI may be working on the request,
or dying of it, and what is due then is decided in `recovery`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from webui.errors import WebUIError, WebUITransientError, WebUITransientExhaustedError

T = TypeVar("T")
logger = logging.getLogger(__name__)

RetryCallback = Callable[[str, int, int, str, float], None]
"""(stage, the attempt that failed, most attempts, why it failed, seconds until the next one)."""


class Backoff(StrEnum):
    """How the wait grows from one failed attempt to the next."""

    NONE = "none"
    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is sent, and the waits between; raises ValueError if that makes no sense.

    `base_s` is the first wait and `max_s` the longest, in seconds.
    """

    max_attempts: int
    backoff: Backoff = Backoff.NONE
    base_s: float = 0.0
    max_s: float = 0.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"a request is sent at least once, not {self.max_attempts} times")
        if not 0 <= self.base_s <= self.max_s < float("inf"):
            raise ValueError(f"waits of {self.base_s} to {self.max_s} s are not possible")
        if self.backoff is not Backoff.NONE and self.base_s == 0:
            raise ValueError(f"{self.backoff.value} backoff needs a first wait above 0 s")


ONCE: Final = RetryPolicy(1)

STAGE_RETRY_POLICIES: Mapping[str, RetryPolicy] = MappingProxyType(
    {
        "txt2img": RetryPolicy(3, Backoff.EXPONENTIAL, 1.0, 20.0),
        "img2img": RetryPolicy(2, Backoff.EXPONENTIAL, 1.5, 25.0),
        "adetailer": ONCE,
        "upscale": RetryPolicy(2, Backoff.FIXED, 2.0, 10.0),
    }
)


def next_delay(policy: RetryPolicy, attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failed attempt, counted from 1."""
    if policy.backoff is Backoff.NONE:
        return 0.0
    factor = {Backoff.FIXED: 1, Backoff.LINEAR: attempt, Backoff.EXPONENTIAL: 1 << min(attempt - 1, 32)}
    return min(policy.base_s * factor[policy.backoff], policy.max_s)


Policies = Mapping[str, RetryPolicy] | RetryPolicy
"""By stage, or one for all."""


class Repeating(Protocol):
    """Something that sends by policies of its own."""

    policies: Policies


def apply_retry_policy(client: Repeating, policies: Policies) -> None:
    """From now on the client sends by these; `policy=` of a call still wins."""
    client.policies = policies


def policy_of(policies: Policies, stage: str) -> RetryPolicy:
    """That of a stage; a stage that the table does not know is sent once."""
    return policies if isinstance(policies, RetryPolicy) else policies.get(stage, ONCE)


def is_transient(error: WebUIError) -> bool:
    """Whether the server itself says that the same request may succeed in a moment."""
    return isinstance(error, WebUITransientError)


def retry_callback(stage: str, attempt: int, max_attempts: int, reason: str, delay_s: float) -> None:
    """What is called before each wait unless the caller brings its own: one line in the log."""
    logger.info(
        "Stage %s was refused for the moment (attempt %d of %d); once more in %.1f s.",
        stage,
        attempt,
        max_attempts,
        delay_s,
        extra={"event": "webui.retry", "stage": stage, "attempt": attempt, "delay_s": delay_s},
    )


def run_with_policy(
    call: Callable[[int, float], T],
    policy: RetryPolicy,
    *,
    stage: str,
    retry_callback: RetryCallback | None = retry_callback,
    sleep: Callable[[float], None] = time.sleep,
    is_transient: Callable[[WebUIError], bool] = is_transient,
) -> T:
    """What `call` returns, called again while it fails for the moment and the policy allows it.

    `call` gets the number of the attempt and the seconds that were waited before it. Raises
    WebUITransientExhaustedError when the last attempt was refused for the moment too; every other error as it
    came.
    """
    waited_s = 0.0
    for attempt in range(1, policy.max_attempts + 1):
        try:
            return call(attempt, waited_s)
        except WebUIError as error:
            if not is_transient(error):
                raise
            if attempt == policy.max_attempts:
                raise _exhausted(error, attempt) from error
            waited_s = next_delay(policy, attempt)
            if retry_callback is not None:
                retry_callback(stage, attempt, policy.max_attempts, str(error), waited_s)
        # Outside the handler: what happens in the wait is no consequence of that error.
        sleep(waited_s)
    raise AssertionError("a policy has at least one attempt")


def _exhausted(error: WebUIError, attempts: int) -> WebUITransientExhaustedError:
    facts = error.facts()
    times = "once" if attempts == 1 else f"{attempts} times"
    facts["words"] = f"sent {times}, the last answer was: {error.words or error.code}"
    return WebUITransientExhaustedError(**facts)
