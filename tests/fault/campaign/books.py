"""The evidence sorted for judging: by job, by node, by run. No judgement here."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.fault.campaign.evidence import Evidence, Row

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
#: An answer with one of these tells "not now": the request was not executed.
NOT_NOW = frozenset({429, 502, 503, 504})
TASK = re.compile(r"stablenew-(?P<job>\d+)-(?P<stage>\d+)-(?P<image>\d+)-")
#: Requests that carry a task id, and that a WebUI renders one after the other; the last one is a worker's.
SAMPLING = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/jobs")


@dataclass(frozen=True, slots=True)
class Span:
    """Something of one job that went on from `began` until `ended` (None: it never ended)."""

    job_id: int
    began: datetime
    ended: datetime | None
    what: str

    def overlaps(self, other: Span) -> bool:
        """They went on at the same time; touching is not overlapping."""
        return (other.ended is None or self.began < other.ended) and (
            self.ended is None or other.began < self.ended
        )


class Books:
    """Rows by what they belong to."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.jobs: dict[int, Row] = {row["id"]: row for row in evidence.jobs}
        self.records: dict[int, Row] = {row["id"]: row for row in evidence.records}
        self.nodes: dict[int, str] = {row["id"]: row["name"] for row in evidence.nodes}
        #: By node name; empty where a node has one of its own.
        self.cards: dict[str, str] = {row["name"]: row.get("card", "") for row in evidence.nodes}
        self.events = _by(evidence.events, "job_id")
        for rows in self.events.values():
            rows.sort(key=lambda row: row["sequence"])
        self.attempts = _by(evidence.attempts, "job_id")
        self.outputs = _by(evidence.outputs, "job_id")
        self.history = _by(evidence.history, "job_id")

    def record_of(self, job: Row) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.records[job["record_id"]]["canonical_json"])
        return document

    def units_of(self, job: Row) -> set[tuple[str, int]]:
        """(stage, image index) of every picture that the record asks for."""
        record = self.record_of(job)
        stages = [stage["stage"] for stage in record["stage_chain"] if stage["enabled"]]
        return {(stage, image) for stage in stages for image in range(record.get("images_per_prompt", 1))}

    def taken_up(self, job_id: int) -> list[tuple[Row, Row]]:
        """Attempts whose process was lost and whose request went on, each with the one that went on with it.

        A worker's ids are idempotent: asking for the old one again is no further execution.
        """
        attempts = sorted(self.attempts.get(job_id, []), key=lambda row: row["id"])
        return [
            (before, after)
            for before, after in pairwise(attempts)
            if before["outcome"] == "lost" and before["task_id"] == after["task_id"]
        ]

    def running_spans(self) -> dict[str, list[Span]]:
        """By node: from each RUNNING event to the event that ended that run."""
        spans: dict[str, list[Span]] = defaultdict(list)
        for job_id, events in self.events.items():
            for index, event in enumerate(events):
                if event["event_type"] != "RUNNING":
                    continue
                end = next(
                    (row["at"] for row in events[index + 1 :] if row["from_status"] == "RUNNING"), None
                )
                spans[str(event["data"].get("node"))].append(Span(job_id, event["at"], end, "run"))
        return spans

    def attempt_spans(self) -> dict[str, list[Span]]:
        """By node: each attempt from its start to its end (its job's, where nobody ended it)."""
        spans: dict[str, list[Span]] = defaultdict(list)
        for row in self.evidence.attempts:
            node = self.nodes.get(row["node_id"], str(row["node_id"]))
            what = f"attempt {row['id']} ({row['stage']})"
            ended = row["ended_at"] or self.jobs.get(row["job_id"], {}).get("finished_at")
            spans[node].append(Span(row["job_id"], row["started_at"], ended, what))
        return spans


def executed_posts(journal: Sequence[Row]) -> list[Row]:
    """The generation requests that were not turned away with "not now", or refused by a worker."""
    refused = {row["n"] for row in journal if row["event"] == "answer" and _turns_away(row)}
    return [row for row in journal if row["event"] == "post" and row["n"] not in refused]


def _turns_away(answer: Row) -> bool:
    return answer["status"] in NOT_NOW or answer["outcome"] == "refused"


def task_of(post: Row) -> tuple[int, int, int] | None:
    """(job, stage index, first image) that a post names; None for requests without our task id."""
    found = TASK.match(post.get("task_id") or "")
    return (int(found["job"]), int(found["stage"]), int(found["image"])) if found else None


def _by(rows: Iterable[Row], column: str) -> dict[int, list[Row]]:
    grouped: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[column]].append(row)
    return grouped


def count_by(rows: Iterable[Mapping[str, Any]], column: str) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[str(row[column])] += 1
    return dict(counts)
