"""The checker against small made-up campaigns: silent where all promises held, one sentence where one was broken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fault.campaign.checker import judge
from tests.fault.campaign.evidence import Asked, Cancel, Evidence, digest_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ENVELOPE = {
    "code": "WEBUI_ERROR",
    "message": "It broke.",
    "remediation": "Mend it.",
    "artifact_paths": ["2/tail.log"],
}
RECORD = json.dumps(
    {
        "base_model": "castle_v3",
        "images_per_prompt": 1,
        "stage_chain": [{"stage": "txt2img", "enabled": True}],
    }
)
CRASH = "QUEUE_JOB_WEBUI_CRASH_SUSPECTED"
Change = Callable[["Campaign"], None]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Campaign:
    """Three jobs of one node: 1 COMPLETED, 2 FAILED after its retry, 3 CANCELLED before it ran."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.submitted, self.cancels = {1, 2, 3}, {3: Cancel(NOON, "cancelled")}
        self.poisoned: set[int] = set()
        self.frozen: list[tuple[datetime, datetime]] = []
        self.left: list[str] = []
        self.tables: dict[str, Any] = {
            "nodes": [{"id": 1, "name": "webui"}],
            "records": [{"id": 1, "canonical_json": RECORD}],
            "control": [
                {"submitted": 3, "queued": 0, "running": 0, "completed": 1, "failed": 1, "cancelled": 1}
            ],
            "jobs": [], "events": [], "attempts": [], "outputs": [], "history": [],
        }  # fmt: skip
        self.journal: list[dict[str, Any]] = []
        self._boot()
        self._completed()
        self._failed()
        self._cancelled()
        self.seen = {row["id"]: digest_of(row) for row in self.tables["events"]}

    # --- the three jobs ---------------------------------------------------------------------------------

    def _boot(self) -> None:
        self.line(0, "start", port=7860)

    def _completed(self) -> None:
        self.run(1, at_s=10, number=1)
        self.event(1, "STAGE_STARTED", at_s=10, stage="txt2img")
        self.attempt(1, 1, at_s=10, outcome="completed")
        self.event(1, "STAGE_COMPLETED", at_s=11, stage="txt2img")
        self.event(1, "COMPLETED", "RUNNING", "COMPLETED", at_s=11)
        self.accept(1, attempt=1, at_s=11)
        self.end(1, "COMPLETED", at_s=11)

    def _failed(self) -> None:
        self.run(2, at_s=20, number=1)
        self.event(2, "STAGE_STARTED", at_s=20, stage="txt2img")
        self.attempt(2, 1, at_s=20, outcome="server_error")
        self.event(2, CRASH, at_s=21)
        self.event(2, "RETRY_STARTED", at_s=23)
        self.attempt(2, 2, at_s=23, outcome="server_error")
        self.event(2, "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED", at_s=24)
        self.event(2, "FAILED", "RUNNING", "FAILED", at_s=24, error=deepcopy(ENVELOPE))
        (self.root / "2").mkdir()
        (self.root / "2/tail.log").write_text("the end")
        self.end(2, "FAILED", at_s=24, retry_count=1, error=deepcopy(ENVELOPE), error_code="WEBUI_ERROR")

    def _cancelled(self) -> None:
        self.submit(3)
        self.event(3, "CANCELLED", "QUEUED", "CANCELLED", at_s=25)
        self.end(3, "CANCELLED", at_s=25, started_at=None)

    # --- rows -------------------------------------------------------------------------------------------

    def submit(self, job_id: int) -> None:
        self.event(job_id, "SUBMITTED", at_s=0)
        self.event(job_id, "QUEUED", "", "QUEUED", at_s=0)

    def run(self, job_id: int, *, at_s: float, number: int) -> None:
        if number == 1:
            self.submit(job_id)
        self.event(job_id, "RUNNING", "QUEUED", "RUNNING", at_s=at_s, node="webui")

    def event(
        self, job_id: int, kind: str, before: str = "", after: str = "", *, at_s: float, **data: Any
    ) -> None:
        rows = self.tables["events"]
        sequence = 1 + sum(row["job_id"] == job_id for row in rows)
        rows.append(
            {"id": len(rows) + 1, "job_id": job_id, "sequence": sequence, "event_type": kind}
            | {"from_status": before, "to_status": after, "at": at(at_s), "data": data}
        )

    def attempt(self, job_id: int, run: int, *, at_s: float, outcome: str, status: int | None = None) -> None:
        rows = self.tables["attempts"]
        task = f"stablenew-{job_id}-0-0-{run:08x}"
        rows.append(
            {"id": len(rows) + 1, "job_id": job_id, "run_number": run, "stage": "txt2img", "stage_index": 0}
            | {"node_id": 1, "task_id": task, "started_at": at(at_s), "ended_at": at(at_s + 0.9)}
            | {"outcome": outcome, "artifact_paths": [], "image_index": None}
        )
        self.post(task, at_s=at_s + 0.1, until_s=at_s + 0.8, status=status or 200)

    def post(self, task: str, *, at_s: float, until_s: float, status: int = 200) -> None:
        number = 1 + sum(line["event"] == "post" for line in self.journal)
        self.line(at_s, "post", n=number, path="/sdapi/v1/txt2img", task_id=task)
        self.line(until_s, "answer", n=number, path="/sdapi/v1/txt2img", status=status, outcome="answered")

    def line(self, at_s: float, event: str, *, pid: int = 77, **facts: Any) -> None:
        self.journal.append({"time": at(at_s), "pid": pid, "event": event, **facts})

    def accept(self, job_id: int, *, attempt: int, at_s: float) -> None:
        (self.root / f"{job_id}").mkdir(exist_ok=True)
        path = f"{job_id}/1.png"
        (self.root / path).write_bytes(b"picture")
        self.tables["outputs"].append(
            {
                "id": 1,
                "job_id": job_id,
                "attempt_id": attempt,
                "stage": "txt2img",
                "image_index": 0,
                "take": 1,
            }
            | {"path": path, "sha256": hashlib.sha256(b"picture").hexdigest(), "created_at": at(at_s)}
            | {"infotext": "a castle\nSteps: 5, Model: castle_v3, Seed: 1"}
        )

    def end(self, job_id: int, status: str, *, at_s: float, **changes: Any) -> None:
        events = [row for row in self.tables["events"] if row["job_id"] == job_id]
        job: dict[str, Any] = {
            "id": job_id, "record_id": 1, "status": status, "priority": 20, "retry_count": 0,
            "operator_requeues": 0, "take": 1, "last_sequence": len(events), "error": None, "error_code": "",
            "submitted_at": at(0), "started_at": at(10 * job_id), "finished_at": at(at_s),
        } | changes  # fmt: skip
        self.tables["jobs"].append(job)
        paths = [row["path"] for row in self.tables["outputs"] if row["job_id"] == job_id]
        entry = {
            name: job[name] for name in ("status", "retry_count", "submitted_at", "started_at", "finished_at")
        }
        message = (job["error"] or {}).get("message", "")
        self.tables["history"].append(
            entry | {"id": job_id, "job_id": job_id, "output_paths": paths, "error_message": message}
        )

    def row(self, table: str, **having: Any) -> dict[str, Any]:
        """The first row of a table with these values."""
        return next(row for row in self.tables[table] if having.items() <= row.items())

    def evidence(self) -> Evidence:
        asked = Asked(
            frozenset(self.submitted),
            self.cancels,
            poisoned=frozenset(self.poisoned),
            frozen=self.frozen,
        )
        return Evidence(
            output_root=self.root,
            **self.tables,
            journals={"webui": self.journal},
            asked=asked,
            seen_events=self.seen,
            left=self.left,
        )


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
