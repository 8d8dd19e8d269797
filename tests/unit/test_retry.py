"""Policies as values, and the one loop that repeats."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from webui.errors import (
    WebUIBadAnswerError,
    WebUIError,
    WebUIHangError,
    WebUINotSentError,
    WebUIRejectedError,
    WebUIServerError,
    WebUITimeoutError,
    WebUITransientError,
    WebUITransientExhaustedError,
)
from webui.http import retry
from webui.http.retry import ONCE, STAGE_RETRY_POLICIES, Backoff, RetryPolicy, next_delay, run_with_policy

ROOT = Path(__file__).parents[2]


def failing(*errors: WebUIError, sent: list[tuple[int, float]] | None = None) -> Callable[[int, float], str]:
    """Raises these one after the other, then returns; `sent` gets what each call was given."""
    left = list(errors)

    def call(attempt: int, waited_s: float) -> str:
        if sent is not None:
            sent.append((attempt, waited_s))
        if left:
            raise left.pop(0)
        return "done"

    return call


def no_wait(wait_s: float) -> None:
    pytest.fail(f"waited {wait_s} s")


def test_policies_of_the_stages() -> None:
    assert dict(STAGE_RETRY_POLICIES) == {
        "txt2img": RetryPolicy(3, Backoff.EXPONENTIAL, 1.0, 20.0),
        "img2img": RetryPolicy(2, Backoff.EXPONENTIAL, 1.5, 25.0),
        "adetailer": RetryPolicy(1),
        "upscale": RetryPolicy(2, Backoff.FIXED, 2.0, 10.0),
    }


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Backoff.NONE, [0.0, 0.0, 0.0, 0.0]),
        (Backoff.FIXED, [1.5, 1.5, 1.5, 1.5]),
        (Backoff.LINEAR, [1.5, 3.0, 4.5, 5.0]),
        (Backoff.EXPONENTIAL, [1.5, 3.0, 5.0, 5.0]),
    ],
)
def test_each_backoff_grows_in_its_own_way_up_to_the_longest_wait(
    backoff: Backoff, waits: list[float]
) -> None:
    policy = RetryPolicy(9, backoff, 1.5, 5.0)
    assert [next_delay(policy, attempt) for attempt in (1, 2, 3, 4)] == waits


def test_wait_after_very_many_attempts_is_still_a_number() -> None:
    assert next_delay(RetryPolicy(9999, Backoff.EXPONENTIAL, 1, 20), 9998) == 20


@pytest.mark.parametrize(
    "values",
    [
        (0,),
        (-1,),
        (2, Backoff.FIXED, 0.0, 1.0),
        (2, Backoff.FIXED, 2.0, 1.0),
        (2, Backoff.LINEAR, -1.0, 1.0),
        (2, Backoff.EXPONENTIAL, 1.0, float("inf")),
        (2, Backoff.EXPONENTIAL, float("nan"), 1.0),
    ],
)
def test_policy_that_makes_no_sense_is_refused(values: tuple[int, Backoff, float, float]) -> None:
    with pytest.raises(ValueError, match=r"times|not possible|first wait"):
        RetryPolicy(*values)


def test_policy_and_table_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ONCE.max_attempts = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        STAGE_RETRY_POLICIES["txt2img"] = ONCE  # type: ignore[index]


def test_refusals_for_the_moment_are_repeated_with_the_waits_of_the_policy() -> None:
    told: list[tuple[str, int, int, str, float]] = []
    slept: list[float] = []
    sent: list[tuple[int, float]] = []
    answer = run_with_policy(
        failing(WebUITransientError("busy"), WebUITransientError("still busy"), sent=sent),
        STAGE_RETRY_POLICIES["txt2img"],
        stage="txt2img",
        retry_callback=lambda *facts: told.append(facts),
        sleep=slept.append,
    )
    assert answer == "done"
    assert slept == [1.0, 2.0]
    assert sent == [(1, 0.0), (2, 1.0), (3, 2.0)]
    assert [(stage, attempt, most, wait) for stage, attempt, most, _, wait in told] == [
        ("txt2img", 1, 3, 1.0),
        ("txt2img", 2, 3, 2.0),
    ]
    assert ["busy" in reason for *_, reason, _ in told] == [True, True]


def test_policy_that_is_used_up_is_told_apart_from_one_refusal() -> None:
    slept: list[float] = []
    busy = [WebUITransientError(f"busy {number}", stage="upscale", status=503) for number in range(5)]
    with pytest.raises(WebUITransientExhaustedError) as caught:
        run_with_policy(failing(*busy), STAGE_RETRY_POLICIES["upscale"], stage="upscale", sleep=slept.append)
    assert slept == [2.0]
    assert caught.value.facts() == {
        "words": "sent 2 times, the last answer was: busy 1",
        "stage": "upscale",
        "status": 503,
    }
    assert caught.value.__cause__ is busy[1]
    assert not caught.value.sent


def test_policy_of_one_attempt_waits_for_nothing() -> None:
    with pytest.raises(WebUITransientExhaustedError, match="sent once"):
        run_with_policy(failing(WebUITransientError("busy")), ONCE, stage="adetailer", sleep=no_wait)


@pytest.mark.parametrize(
    "error",
    [
        WebUIServerError("500"),
        WebUIRejectedError("422"),
        WebUITimeoutError("late"),
        WebUINotSentError("refused"),
        WebUIHangError("stands still"),
        WebUIBadAnswerError("cut"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_never_repeated(error: WebUIError) -> None:
    with pytest.raises(type(error)) as caught:
        run_with_policy(failing(error), STAGE_RETRY_POLICIES["txt2img"], stage="txt2img", sleep=no_wait)
    assert caught.value is error


def test_caller_may_know_better_what_is_transient() -> None:
    answer = run_with_policy(
        failing(WebUINotSentError("refused")),
        STAGE_RETRY_POLICIES["img2img"],
        stage="img2img",
        sleep=lambda wait_s: None,
        is_transient=lambda error: isinstance(error, WebUINotSentError),
    )
    assert answer == "done"


def test_what_stops_the_wait_is_no_consequence_of_the_refusal() -> None:
    def stop(wait_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_with_policy(
            failing(WebUITransientError("the prompt")), RetryPolicy(2), stage="txt2img", sleep=stop
        )
    assert caught.value.__context__ is None


def test_own_callback_says_it_in_the_log_without_the_servers_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="webui.http.retry")
    retry.retry_callback("txt2img", 1, 3, "a prompt", 1.0)
    assert caplog.messages == [
        "Stage txt2img was refused for the moment (attempt 1 of 3); once more in 1.0 s."
    ]


def test_nothing_else_in_the_program_repeats_requests() -> None:
    """A second loop around requests would multiply with the first."""
    catching = [
        path.name
        for path in (ROOT / "webui").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "WebUITransientError"
    ]
    assert set(catching) == {"answers.py", "boot_now.py", "retry.py"}
