"""docs/retries.md and docs/errors.md say what the code does."""

from __future__ import annotations

import pytest

from jobs.errors import RunError
from tests.unit.test_docs import quoted, read, table_rows
from webui import errors
from webui.errors import WebUIError
from webui.http.retry import STAGE_RETRY_POLICIES, Backoff, RetryPolicy, next_delay
from webui.worker_words import OF_WORKER

RETRIES, ERRORS = "docs/retries.md", "docs/errors.md"
HEADINGS = {
    "rejected": "## The request is wrong",
    "transient": "## Not just now",
    "server error": "## The WebUI failed",
    "checkpoint": "## The checkpoint fails",
    "unavailable": "## The WebUI gave no answer",
    "lost in front": "## Something in front answers",
    "another program": "## Another program answers",
    "bad answer": "## The answer cannot be used",
}


def tree(root: type[WebUIError] = WebUIError) -> list[type[WebUIError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]


def failure_of(kind: type[WebUIError]) -> str:
    """The row of the table of failures that an error belongs to, by what the program does after it."""
    error = kind(endpoint="/sdapi/v1/txt2img", stage="txt2img")
    if isinstance(error, errors.WebUIBadAnswerError):
        return "bad answer"
    if isinstance(error, errors.WebUITransientError):
        return "transient"
    if isinstance(error, errors.WebUIGatewayError):
        return "lost in front"
    if isinstance(error, errors.WebUICheckpointError):
        return "checkpoint"
    if errors.crash_eligible(error):
        if isinstance(error, errors.WebUIRejectedError):
            return "another program"
        return "server error" if isinstance(error, errors.WebUIServerError) else "unavailable"
    return "rejected"


def number(text: str) -> float:
    return float(text)


def test_policies_are_those_of_the_code() -> None:
    rows = table_rows(read(RETRIES), "## Policies of the stages")
    said = {
        quoted(stage)[0]: RetryPolicy(int(attempts), Backoff(backoff), number(base_s), number(max_s))
        for stage, attempts, backoff, base_s, max_s, *_ in rows
    }
    assert said == dict(STAGE_RETRY_POLICIES)


def test_waits_are_those_of_the_code() -> None:
    for stage, *_, waits in table_rows(read(RETRIES), "## Policies of the stages"):
        policy = STAGE_RETRY_POLICIES[quoted(stage)[0]]
        said = [number(wait) for wait in waits.split(",")] if policy.max_attempts > 1 else []
        assert said == [next_delay(policy, attempt) for attempt in range(1, policy.max_attempts)]


def test_every_backoff_is_explained() -> None:
    rows = table_rows(read(RETRIES), "The backoffs:")
    assert [quoted(row[0])[0] for row in rows] == [str(backoff) for backoff in Backoff]


def test_failures_are_those_that_errors_are_sorted_by() -> None:
    rows = {row[0]: row for row in table_rows(read(RETRIES), "## What happens after a failure")}
    assert list(rows) == list(HEADINGS)
    repeated = {name for name, row in rows.items() if row[2] != "never"}
    restarted = {name for name, row in rows.items() if "restart the WebUI" in row[3]}
    assert repeated == {"transient"}
    assert restarted == {failure_of(kind) for kind in tree() if errors.crash_eligible(kind())}


@pytest.mark.parametrize("failure", HEADINGS)
def test_every_error_stands_where_what_follows_is_said(failure: str) -> None:
    rows = table_rows(read(ERRORS), HEADINGS[failure])
    assert rows == [
        [f"`{kind.code}`", kind.sentence(), kind.remediation]
        for kind in tree()
        if kind is not WebUIError and failure_of(kind) == failure
    ]


def test_error_of_no_kind_has_its_row() -> None:
    [row] = table_rows(read(ERRORS), "## Any other error of the WebUI")
    assert row == [f"`{WebUIError.code}`", WebUIError.__doc__, WebUIError.remediation]


def test_words_of_a_worker_are_those_of_the_code() -> None:
    rows = table_rows(read(ERRORS), "## The same of a worker")
    assert rows == [[f"`{code}`", told.what, told.remedy] for code, told in OF_WORKER.items()]


def test_our_own_codes_are_those_of_the_code() -> None:
    rows = [[cell.replace("`", "") for cell in row] for row in table_rows(read(ERRORS), "## On our side")]
    assert rows == [[kind.code, kind.sentence(), kind.remediation] for kind in RunError.__subclasses__()]
