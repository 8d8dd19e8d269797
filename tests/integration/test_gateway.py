"""Something in front of the WebUI answers in its place: what is counted is what the WebUI was given to draw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.models import Job, Runner
from jobs.queue.claims import Claim
from jobs.running.run import Run
from jobs.supervising.leftover_request import settle
from tests.contract.simulator_process import SimulatorProcess, journal_lines, wait_until
from tests.factories import make_node, make_pack, make_runner, make_running_job
from tests.proxy import Interference, proxy_before

pytestmark = pytest.mark.django_db(transaction=True)

#: Long enough to be seen drawing, and never awaited to its end.
STEPS, STEP_S = 20, 0.25
DOCUMENT = json.dumps({"preset_data": {"txt2img": {"steps": STEPS, "width": 64, "height": 64}}})
BUSY = '{"detail": "busy"}'
API = "application/json"


class Stand:
    """One job, and a simulator behind the proxy that a test puts before it."""

    def __init__(self, simulator: SimulatorProcess, journal: Path) -> None:
        self.simulator, self.journal = simulator, journal
        self.restarts: list[str] = []

    def run(self, *first: Interference, always: Interference | None = None, hidden: str = "") -> Job:
        with proxy_before(
            self.simulator.url, *first, always=always, hidden=hidden, heard=self._heard
        ) as proxy:
            self.runner = make_runner(make_node(base_url=proxy.url))
            job, claim = make_running_job(self.runner, revision=make_pack(document=DOCUMENT))
            Run(claim, restart=self._restart).execute()
            self.claim: Claim = claim
            return Job.objects.get(pk=job.pk)

    def _restart(self, node_id: int, **facts: Any) -> int:
        self.restarts.append(str(facts["reason"]))
        return 0

    @property
    def lines(self) -> list[dict[str, Any]]:
        return journal_lines(self.journal)

    def _heard(self) -> int:
        return len(journal_lines(self.journal, "post"))

    @property
    def given(self) -> int:
        """Requests that the WebUI was given to draw and did not turn away itself."""
        turned_away = {
            row["n"] for row in self.lines if row["event"] == "answer" and row["status"] in (429, 503)
        }
        return len([row for row in self.lines if row["event"] == "post" and row["n"] not in turned_away])

    def is_idle(self) -> bool:
        return bool(self.simulator.get("progress?skip_current_image=true")["state"]["job_count"] == 0)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    journal = tmp_path / "journal.jsonl"
    arguments = ("--any-name", "--journal", str(journal), "--seconds-per-step", str(STEP_S))
    with SimulatorProcess(tmp_path, *arguments) as simulator:
        yield Stand(simulator, journal)


@pytest.mark.parametrize(
    "lost",
    [
        Interference(504, after_s=1.0),
        Interference(502, after_s=1.5),
        Interference(502, after_s=0.3),
        Interference(503, after_s=0.5),
        Interference(503, after_s=1.5, body=BUSY, content_type=API),
        Interference(
            504, after_s=1.0, body='{"message": "The upstream server is timing out"}', content_type=API
        ),
        Interference(429, after_s=0.5),
        Interference(500, after_s=0.5),
        Interference(524, after_s=1.0),
        Interference(408, after_s=1.0),
        Interference(200, after_s=0.5),
        Interference(302, after_s=0.5, location="/oauth2/sign_in"),
        Interference(302, after_s=0.5),
        Interference(403, after_s=0.5),
        Interference(499, after_s=0.5),
    ],
    ids=lambda lost: f"{lost.status}-after-{lost.after_s}-{lost.content_type}",
)
def test_an_answer_of_something_in_front_is_a_lost_one_and_nothing_is_drawn_more_than_twice(
    stand: Stand, lost: Interference
) -> None:
    job = stand.run(always=lost)
    assert job.status == "FAILED"
    assert job.error_code == "WEBUI_GATEWAY", job.error
    assert job.error is not None
    assert "read timeout of the proxy" in job.error["remediation"]
    assert stand.given == 2
    assert not stand.restarts
    # The second one may still be drawn: no other job goes there before it is over.
    runner = Runner.objects.select_related("node").get(pk=stand.runner.pk)
    assert runner.must_quiet
    runner.node.base_url = stand.simulator.url

    def is_quiet() -> bool:
        settle(runner)
        return not Runner.objects.get(pk=runner.pk).must_quiet

    wait_until(is_quiet)
    assert stand.is_idle()


def test_a_late_refusal_of_a_request_that_nobody_can_ask_for_is_a_lost_answer(stand: Stand) -> None:
    job = stand.run(always=Interference(503, after_s=1.5, body=BUSY, content_type=API), hidden="/internal/")
    assert (job.status, job.error_code) == ("FAILED", "WEBUI_GATEWAY")
    assert stand.given == 2


def test_where_a_sign_in_leads_to_is_told_without_its_secrets(stand: Stand) -> None:
    secret = "https://somebody:pass@sso.example/cb?code=TOKEN12345#TOKEN12345"
    job = stand.run(always=Interference(302, forwards=False, location=secret))
    assert job.error is not None
    assert "redirected to https://sso.example/cb" in job.error["message"]
    told = json.dumps([job.error, *job.events.values_list("data", flat=True)])
    assert "TOKEN12345" not in told
    assert "pass@" not in told


def test_the_retry_begins_when_the_lost_request_is_over_and_its_pictures_are_the_result(stand: Stand) -> None:
    job = stand.run(Interference(504, after_s=1.0))
    assert (job.status, job.retry_count) == ("COMPLETED", 1)
    outcomes = [row["outcome"] for row in stand.lines if row["event"] == "answer"]
    assert outcomes == ["interrupted", "answered"]
    assert not stand.restarts


def test_a_502_at_once_that_the_webui_never_heard_of_is_repeated_by_the_policy(stand: Stand) -> None:
    job = stand.run(Interference(502, forwards=False), Interference(502, forwards=False))
    assert (job.status, job.retry_count) == ("COMPLETED", 0)
    assert stand.given == 1


def test_the_api_s_own_503_is_repeated_by_the_policy(stand: Stand) -> None:
    job = stand.run(
        Interference(503, forwards=False, body=BUSY, content_type=API),
        Interference(429, forwards=False, body='{"error": "too many"}', content_type=API),
    )
    assert (job.status, job.retry_count) == ("COMPLETED", 0)
    assert stand.given == 1


def test_413_says_what_to_change(stand: Stand) -> None:
    job = stand.run(always=Interference(413, forwards=False))
    assert (job.status, job.error_code, stand.given) == ("FAILED", "WEBUI_REQUEST_TOO_LARGE", 0)
    assert job.error is not None
    assert "client_max_body_size" in job.error["remediation"]
    assert "txt2img.width" in job.error["remediation"]
