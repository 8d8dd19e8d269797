"""Job, envelope, events and history tell one story, and what was written once stays as it was, whatever happens."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.household import kill, start_up, worker_of
from tests.e2e.queueing import submit
from tests.e2e.stack import Stack
from tests.fault.campaign.evidence import Row, read_tables
from tests.promises import PATIENCE_S

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

TERMINAL = {"COMPLETED", "FAILED", "CANCELLED"}
EXHAUSTED = "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED"
CHARGES = {"QUEUE_JOB_WEBUI_CRASH_SUSPECTED", "REQUEUED"}
#: Rows that are never changed, and those that are not once their job has ended.
WRITTEN_ONCE = ("events", "history", "records", "outputs")
LONG: dict[str, Any] = {"overrides": {"txt2img.steps": 150, "txt2img.width": 64, "txt2img.height": 64}}


class Books:
    """All that is written of the jobs that have ended by now."""

    def __init__(self, stack: Stack) -> None:
        self._root = stack.folder / "outputs"
        tables = read_tables(stack.database.url)
        self.jobs = {row["id"]: row for row in tables["jobs"] if row["status"] in TERMINAL}
        self._tables = {
            name: [row for row in tables[name] if row.get("job_id", 0) in {0, *self.jobs}]
            for name in (*WRITTEN_ONCE, "attempts")
        }

    def rows(self, table: str, job_id: int) -> list[Row]:
        return [row for row in self._tables[table] if row["job_id"] == job_id]

    def told(self, job_id: int) -> list[str]:
        return [row["event_type"] for row in self.rows("events", job_id)]

    def frozen(self) -> dict[tuple[str, int], str]:
        """Every row that must stay as it is, each as text."""
        kept = {(name, row["id"]): row for name, rows in self._tables.items() for row in rows}
        # Whether a failure still waits for somebody's eye is no part of its account.
        account = {job_id: {**row, "needs_attention": None} for job_id, row in self.jobs.items()}
        kept |= {("jobs", job_id): row for job_id, row in account.items()}
        return {key: json.dumps(row, sort_keys=True, default=str) for key, row in kept.items()}

    def assert_agreement(self, job_id: int) -> None:
        job = self.jobs[job_id]
        events, attempts = self.rows("events", job_id), self.rows("attempts", job_id)
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["event_type"] == events[-1]["to_status"] == job["status"]
        assert job["last_sequence"] == len(events)
        charges = [event for event in events if event["event_type"] in CHARGES]
        assert sum(event["data"].get("charged", True) for event in charges) == job["retry_count"]

        [history] = self.rows("history", job_id)
        error: dict[str, Any] = job["error"] or {}
        outputs = [row for row in self.rows("outputs", job_id) if row["take"] == job["take"]]
        told = (history["status"], history["retry_count"], history["finished_at"], history["record_id"])
        assert told == (job["status"], job["retry_count"], job["finished_at"], job["record_id"])
        assert history["output_paths"] == [row["path"] for row in outputs]
        assert history["error_message"] == error.get("message", "")
        assert (self._root / Path(history["output_paths"][0])).is_file() if outputs else True

        assert bool(error) == (job["status"] == "FAILED")
        assert job["error_code"] == error.get("code", "")
        if error:
            assert events[-1]["data"]["error"] == error
            self._assert_envelope(error, attempts)
            crashed = EXHAUSTED in self.told(job_id)
            assert crashed == (job["retry_count"] == 1)
            assert not crashed or self.told(job_id).index(EXHAUSTED) == len(events) - 2

    def _assert_envelope(self, error: dict[str, Any], attempts: list[Row]) -> None:
        """It tells of exactly the attempts that the rows tell of, and every file that it names is there."""
        keys = ("stage", "attempt_index", "max_attempts", "reason", "wait_s")
        told = [tuple(one[key] for key in keys) for one in error["retry_info"]["attempts"]]
        assert told == [tuple(row[key] for key in keys) for row in attempts]
        outcomes = [one["outcome"] for one in error["execution_metadata"]["attempts"]]
        assert outcomes == [row["outcome"] for row in attempts]
        assert error["artifact_paths"]
        assert all((self._root / path).is_file() for path in error["artifact_paths"])
        assert set(attempts[-1]["artifact_paths"]) <= set(error["artifact_paths"])


def test_envelope_history_and_events_agree_and_never_change(stack: Stack) -> None:
    faults = ("500@1-2", "422@3", "truncated@4", "500@6", "slow=0.5@9,12-13")
    start_up(stack, "up", *faults, seconds_per_step=0.02)
    exhausted, rejected, bad_answer, crashed, plain = submit(stack, repeat=5)
    [cancelled] = submit(stack, "cancelled", **LONG)
    stack.wait_ledger(completed=3, failed=2, running=1)
    stack.wait_until(lambda: len(stack.posts()) == 9, "the last job is sent")
    stack.manage("jobs", "cancel", cancelled)
    stack.wait_job(cancelled, "CANCELLED")
    before = Books(stack)
    ends = {job_id: (row["status"], row["retry_count"]) for job_id, row in before.jobs.items()}
    assert ends == {
        exhausted: ("FAILED", 1),
        rejected: ("FAILED", 0),
        bad_answer: ("COMPLETED", 1),
        crashed: ("COMPLETED", 1),
        plain: ("COMPLETED", 0),
        cancelled: ("CANCELLED", 0),
    }
    for job_id in ends:
        before.assert_agreement(job_id)

    # What might touch them: refused verbs, runs of the same records, a lost worker, an engine that starts anew.
    stack.manage("jobs", "cancel", exhausted, expect=1)
    stack.manage("jobs", "rerun", exhausted, plain)
    stack.wait_ledger(completed=5)
    [lost] = submit(stack, "lost", **LONG)
    stack.wait_until(lambda: len(stack.posts()) == 12, "the job is sent")
    kill(worker_of(stack))
    stack.wait_until(lambda: len(stack.posts()) == 13, "it runs again")
    stack.manage("jobs", "cancel", lost)
    stack.wait_job(lost, "CANCELLED")
    stack.kill("up", signal.SIGTERM)
    stack.processes["up"].wait(PATIENCE_S)
    start_up(stack, "again")
    [last] = submit(stack, "last")
    stack.wait_job(last, "COMPLETED")

    after = Books(stack)
    for job_id in after.jobs:
        after.assert_agreement(job_id)
    assert len(after.jobs) == len(ends) + 4
    written, now = before.frozen(), after.frozen()
    changed = {key: (row, now.get(key)) for key, row in written.items() if now.get(key) != row}
    assert changed == {}
