"""A small campaign that never was: rows, journal and files where all promises are kept, for tests to break one."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
        self.temporary: list[str] = []
        self.input_root: Path | None = None
        self.other_journals: dict[str, list[dict[str, Any]]] = {}
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
            journals={"webui": self.journal, **self.other_journals},
            input_root=self.input_root,
            temporary=self.temporary,
            asked=asked,
            seen_events=self.seen,
            left=self.left,
        )
