"""The checker against small made-up campaigns: silent where all promises held, one sentence where one was broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fault.campaign.checker import judge
from tests.fault.campaign.evidence import Cancel
from tests.fault.made_up import CRASH, NOON, Campaign, at

Change = Callable[[Campaign], None]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path)


def test_a_campaign_that_kept_every_promise_is_found_without_fault(campaign: Campaign) -> None:
    assert judge(campaign.evidence()) == []


def setting(table: str, having: dict[str, Any], **values: Any) -> Change:
    return lambda campaign: campaign.row(table, **having).update(values)


def dropping(table: str, **having: Any) -> Change:
    return lambda campaign: campaign.tables[table].remove(campaign.row(table, **having))


def doubling(table: str, having: dict[str, Any], **values: Any) -> Change:
    def change(campaign: Campaign) -> None:
        rows = campaign.tables[table]
        rows.append(campaign.row(table, **having) | {"id": 900 + len(rows)} | values)

    return change


def lost(campaign: Campaign) -> None:
    campaign.submitted.add(4)


def not_submitted(campaign: Campaign) -> None:
    campaign.submitted.remove(1)


def not_cancelled(campaign: Campaign) -> None:
    campaign.cancels.clear()


def cancelled_and_completed(campaign: Campaign) -> None:
    campaign.cancels[1] = Cancel(at(5), "cancelled")


def sent_after_the_cancel(campaign: Campaign) -> None:
    campaign.cancels[2] = Cancel(at(20.5), "requested")


def poison_completed(campaign: Campaign) -> None:
    campaign.poisoned.add(1)


def file_gone(campaign: Campaign) -> None:
    (campaign.root / "1/1.png").unlink()


def file_changed(campaign: Campaign) -> None:
    (campaign.root / "1/1.png").write_bytes(b"another")


def artifact_gone(campaign: Campaign) -> None:
    (campaign.root / "2/tail.log").unlink()


def artifacts_unnamed(campaign: Campaign) -> None:
    for envelope in (
        campaign.row("jobs", id=2)["error"],
        campaign.row("events", event_type="FAILED")["data"]["error"],
    ):
        envelope["artifact_paths"] = []


def no_remedy(campaign: Campaign) -> None:
    campaign.row("jobs", id=2)["error"]["remediation"] = ""


def our_mistake(campaign: Campaign) -> None:
    campaign.row("jobs", id=2)["error"]["code"] = "INTERNAL_ERROR"


def orphan(campaign: Campaign) -> None:
    campaign.left.append("process 5: run_node webui")


def uncharged(campaign: Campaign) -> None:
    """The retry began, the count stayed 0."""
    campaign.row("jobs", id=2)["retry_count"] = 0
    campaign.row("history", id=2)["retry_count"] = 0


def charged_twice(campaign: Campaign) -> None:
    campaign.row("events", event_type="RETRY_STARTED")["event_type"] = CRASH


def three_failures(campaign: Campaign) -> None:
    campaign.attempt(2, 2, at_s=23.95, outcome="server_error")
    campaign.tables["attempts"][-1]["ended_at"] = at(23.99)


def three_runs(campaign: Campaign) -> None:
    campaign.attempt(2, 3, at_s=23.95, outcome="cancelled")
    campaign.tables["attempts"][-1]["ended_at"] = at(23.99)


def three_posts(campaign: Campaign) -> None:
    for second in (21.2, 21.6, 21.9):
        campaign.post("stablenew-2-0-0-00000001", at_s=second, until_s=second + 0.1)


def two_jobs_at_once(campaign: Campaign) -> None:
    campaign.row("attempts", job_id=1)["ended_at"] = at(20.5)


def two_runs_at_once(campaign: Campaign) -> None:
    campaign.row("events", event_type="RUNNING", job_id=2)["at"] = at(10.5)


def two_posts_at_once(campaign: Campaign) -> None:
    campaign.post("stablenew-1-0-0-00000001", at_s=10.2, until_s=10.4)


def unannounced_post(campaign: Campaign) -> None:
    campaign.post("stablenew-1-0-0-0000beef", at_s=30, until_s=31)


def started_after_the_end(campaign: Campaign) -> None:
    campaign.attempt(1, 1, at_s=40, outcome="completed")


def doubled_webui(campaign: Campaign) -> None:
    campaign.line(50, "start", pid=78, port=7860)
    campaign.line(51, "request", pid=77, path="/sdapi/v1/progress")


def changed_event(campaign: Campaign) -> None:
    campaign.row("events", event_type="STAGE_STARTED")["data"]["stage"] = "img2img"


def gone_event(campaign: Campaign) -> None:
    campaign.seen[999] = "digest"


def overtaken(campaign: Campaign) -> None:
    for job_id in (4, 5, 6):
        campaign.submitted.add(job_id)
        campaign.run(job_id, at_s=1 + job_id / 10, number=1)
        campaign.event(job_id, "CANCELLED", "RUNNING", "CANCELLED", at_s=1.05 + job_id / 10)
        campaign.end(job_id, "CANCELLED", at_s=1.05 + job_id / 10)
        campaign.cancels[job_id] = Cancel(NOON)
    campaign.row("control")["submitted"], campaign.row("control")["cancelled"] = 6, 4


BROKEN: dict[str, tuple[Change, str]] = {
    "lost": (lost, "Job 4 was submitted and is lost"),
    "from nowhere": (not_submitted, "Job 1 has a row, but nobody submitted it"),
    "never ended": (setting("jobs", {"id": 1}, status="RUNNING"), "Job 1 never ended"),
    "ledger": (setting("control", {}, completed=2), "The ledger says 2 COMPLETED, the rows say 1"),
    "ledger's sum": (setting("control", {}, submitted=4), "The ledger says 4 submitted"),
    "no history": (dropping("history", id=1), "Job 1 is COMPLETED and has 0 history entries"),
    "two histories": (doubling("history", {"id": 1}), "Job 1 is COMPLETED and has 2 history entries"),
    "other history": (setting("history", {"id": 1}, status="FAILED"), "Job 1: history says status FAILED"),
    "cancelled unasked": (not_cancelled, "Job 3 is CANCELLED, but nobody asked"),
    "cancel forgotten": (cancelled_and_completed, "Job 1 was cancelled while it waited, and is COMPLETED"),
    "cancel unheard": (sent_after_the_cancel, "Job 2 was asked to stop at 12:00:20.500000, and node webui got"),
    "no envelope": (setting("jobs", {"id": 2}, error=None), "Job 2 FAILED without an envelope"),
    "no remedy": (no_remedy, "Job 2: its envelope has no remediation"),
    "our mistake": (our_mistake, "Job 2 FAILED by a mistake of ours"),
    "no code": (setting("jobs", {"id": 2}, error_code=""), "Job 2: error_code is ''"),
    "artifact gone": (artifact_gone, "Job 2: the artifact 2/tail.log"),
    "artifacts unnamed": (artifacts_unnamed, "Job 2 FAILED after a server_error and its envelope names no artifact"),
    "poison": (poison_completed, "Job 1 ends the WebUI whenever"),
    "orphan": (orphan, "Still running after everything was stopped: process 5"),
    "missing event": (dropping("events", job_id=1, event_type="STAGE_STARTED"), "Job 1: its events are numbered"),
    "uncounted event": (setting("jobs", {"id": 1}, last_sequence=9), "Job 1: the row counts 9 events"),
    "illegal move": (setting("events", {"job_id": 3, "sequence": 3}, from_status="FAILED"), "is no legal move"),
    "wrong place": (setting("events", {"job_id": 1, "sequence": 3}, event_type="STAGE_STARTED"), "not RUNNING"),
    "stage from nowhere": (setting("events", {"event_type": "STAGE_STARTED"}, data={"stage": "x"}), "was not started"),
    "retry from nowhere": (setting("events", {"event_type": CRASH}, event_type="RETRY_STARTED"), "no retry had been"),
    "other end": (setting("jobs", {"id": 1}, status="CANCELLED"), "Job 1 is CANCELLED, its last move says COMPLETED"),
    "changed event": (changed_event, "has been changed after it was written"),
    "gone event": (gone_event, "Event 999 was there during the campaign and is gone"),
    "accepted twice": (doubling("outputs", {"id": 1}), "Job 1: picture 0 of txt2img was accepted 2 times"),
    "incomplete": (dropping("outputs", id=1), "Job 1 is COMPLETED, but lacks"),
    "file gone": (file_gone, "the accepted picture 1/1.png does not exist"),
    "file changed": (file_changed, "the file 1/1.png is not the one that was accepted"),
    "failed attempt": (setting("attempts", {"id": 1}, outcome="lost"), "comes from an attempt that ended 'lost'"),
    "wrong checkpoint": (setting("outputs", {"id": 1}, infotext="x\nModel: other"), "was rendered by 'other'"),
    "uncharged": (uncharged, "Job 2: 1 events spend its one retry, the row counts 0"),
    "charged twice": (charged_twice, "Job 2: 2 events spend its one retry"),
    "three failures": (three_failures, "Job 2 failed 3 times"),
    "three runs": (three_runs, "Job 2 was executed 3 times, 2 were allowed"),
    "three posts": (three_posts, "Job 2: the WebUIs got stage 0, picture 0 5 times"),
    "two jobs at once": (two_jobs_at_once, "Node webui had jobs 1 (attempt 1 (txt2img)) and 2"),
    "two runs at once": (two_runs_at_once, "Node webui had jobs 1 (run) and 2 (run)"),
    "two posts at once": (two_posts_at_once, "was still being rendered"),
    "unannounced post": (unannounced_post, "got stablenew-1-0-0-0000beef 1 times, 0 attempts were announced"),
    "late attempt": (started_after_the_end, "was started after the job had ended"),
    "open attempt": (setting("attempts", {"id": 1}, ended_at=None), "its attempt 1 (txt2img) has not"),
    "late result": (setting("outputs", {"id": 1}, created_at=at(60)), "was accepted after the job had ended"),
    "overtaken": (overtaken, "Job 1 waited while the later jobs [4, 5, 6] were started"),
    "doubled WebUI": (doubled_webui, "process 77 still wrote (request) after process 78 had begun"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_each_broken_promise_is_said_in_one_sentence(campaign: Campaign, broken: str) -> None:
    change, sentence = BROKEN[broken]
    change(campaign)
    told = judge(campaign.evidence())
    assert any(sentence in one for one in told), told


def test_a_node_that_stood_still_may_have_held_the_first_row(campaign: Campaign) -> None:
    overtaken(campaign)
    campaign.frozen = [(at(1), at(2))]
    assert judge(campaign.evidence()) == []


def test_what_people_gave_back_is_no_failure(campaign: Campaign) -> None:
    three_runs(campaign)
    campaign.row("jobs", id=2)["operator_requeues"] = 1
    assert judge(campaign.evidence()) == []


def test_a_request_that_was_turned_away_was_not_executed(campaign: Campaign) -> None:
    for second in (21.2, 21.6):
        campaign.post("stablenew-2-0-0-00000001", at_s=second, until_s=second + 0.1, status=503)
        campaign.tables["attempts"].append(
            campaign.row("attempts", job_id=2)
            | {"id": int(second * 100), "started_at": at(second), "ended_at": at(second + 0.1)}
            | {"outcome": "transient"}
        )
    assert judge(campaign.evidence()) == []


def test_what_was_noticed_on_the_way_is_told(campaign: Campaign) -> None:
    evidence = replace(campaign.evidence(), noticed=["Node webui had two WebUIs of ours."])
    assert judge(evidence) == ["Node webui had two WebUIs of ours."]
