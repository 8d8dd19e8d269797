"""The database stumbles at any moment of a run: no job fails, nothing is drawn twice, and the events stay a chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from pytest_django import Settings

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job
from jobs.queue.storage import run_directory
from jobs.running.run import Run
from tests.integration.database_errors import internal
from tests.integration.scripted_runs import outcomes, started
from tests.integration.scripted_webui import Act, says

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 400
SCRIPTS: dict[str, tuple[Act, ...]] = {"drawn at once": (), "drawn in the retry": (says(500),)}


@pytest.fixture(autouse=True)
def no_pauses(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    monkeypatch.setattr("webui.books.FIRST_PAUSE_S", 0.0)


class Moment:
    """Counts what happens and lets the chosen one of it fail, once."""

    def __init__(self, number: int, kind: Callable[[str], Exception]) -> None:
        self.number = number
        self.kind = kind
        self.seen = 0

    @property
    def came(self) -> bool:
        return self.seen >= self.number

    def is_now(self) -> bool:
        self.seen += 1
        return self.seen == self.number


@contextmanager
def failing_statement(moment: Moment) -> Iterator[None]:
    def stumble(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if moment.is_now():
            raise moment.kind("the database is away")
        return run(sql, params, many, context)

    with connection.execute_wrapper(stumble):
        yield


@contextmanager
def lost_commit(moment: Moment) -> Iterator[None]:
    """The commit arrives, and nobody hears of it."""
    commit = connection.commit

    def answer_is_lost() -> None:
        commit()
        if moment.is_now():
            raise moment.kind("the connection was closed")

    connection.commit = answer_is_lost  # type: ignore[method-assign]
    try:
        yield
    finally:
        del connection.commit


def assert_known_end(job: Job, script: tuple[Act, ...], posts: int) -> None:
    assert (job.status, job.retry_count, job.error) == (JobStatus.COMPLETED, len(script), None)
    assert posts == 1 + len(script)
    assert outcomes(job) == ["server_error"] * len(script) + ["completed"]
    sequences = list(job.events.order_by("sequence").values_list("sequence", flat=True))
    assert sequences == list(range(1, len(sequences) + 1))
    told = Counter(job.events.values_list("event_type", flat=True))
    assert set(told) == {
        *(EventType.SUBMITTED, EventType.QUEUED, EventType.RUNNING),
        *(EventType.STAGE_STARTED, EventType.STAGE_COMPLETED, EventType.COMPLETED),
        *((EventType.CRASH_SUSPECTED, EventType.WEBUI_RESTARTED, EventType.RETRY_STARTED) if script else ()),
    }
    once = set(told) - {EventType.WEBUI_RESTARTED, EventType.RETRY_STARTED}
    assert {told[event] for event in once} == {1}
    assert len(job.results) == 2


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (failing_statement, OperationalError),
        (failing_statement, InterfaceError),
        (failing_statement, internal("25006")),
        (lost_commit, OperationalError),
    ],
)
def test_run_in_which_the_database_stumbles_once(
    fault: Callable[[Moment], Any], kind: Callable[[str], Exception], script: tuple[Act, ...]
) -> None:
    """At each moment in turn, until there is none that has not been tried."""
    for number in range(1, MOST):
        claim, webui, keeper = started(*script)
        moment = Moment(number, kind)
        with fault(moment):
            Run(claim, connect=webui.connect, restart=keeper, sleep=lambda seconds: None).execute()
        job = Job.objects.get(pk=claim.job_id)
        try:
            assert_known_end(job, script, len(webui.posts))
        except AssertionError:
            print(f"{fault.__name__} {number}")
            raise
        if not moment.came:
            assert number > 2
            return
    raise AssertionError(f"a run has more than {MOST} such moments")


def test_a_failure_whose_last_commit_is_not_heard_of_is_told_as_any_other() -> None:
    for number in range(1, MOST):
        claim, webui, keeper = started(says(422))
        moment = Moment(number, OperationalError)
        with lost_commit(moment):
            Run(claim, connect=webui.connect, restart=keeper, sleep=lambda seconds: None).execute()
        job = Job.objects.get(pk=claim.job_id)
        assert (job.status, job.error_code) == (JobStatus.FAILED, "WEBUI_REQUEST_INVALID"), number
        assert job.events.filter(event_type=EventType.FAILED).count() == 1
        assert (run_directory(job) / "manifest.json").exists(), number
        if not moment.came:
            assert number > 2
            return
    raise AssertionError(f"a run has more than {MOST} such moments")
