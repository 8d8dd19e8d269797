"""All rows that belong to a job, and where those of two jobs differ in more than what every job has of its own."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

from django.db.models import Model

from jobs.models import Job, QueueControl, Runner
from webui.models import Boot, Node

#: Columns and keys of JSON of a job's rows that may hold another value of the same kind.
OWN = frozenset(
    {
        # which row it is
        *(
            "id",
            "job",
            "job_id",
            "record",
            "submission",
            "attempt",
            "position",
            "key",
            "task_id",
            "run_token",
        ),
        # when it happened, and how long it took
        *("at", "created_at", "submitted_at", "started_at", "finished_at", "ended_at", "timestamp"),
        *("duration_s", "elapsed_s", "waited_s"),
        # where, in which process
        *("generation", "node_generation", "retry_after", "address", "worker_pid"),
        # what was found in its pictures, and these and its files
        "truth",
        *("path", "outputs", "output_paths", "artifacts", "artifact_paths", "size_bytes", "infotext"),
        *("sha256", "record_sha256", "seed", "subseed"),
        # what the WebUI or the system said of this failure
        *("words", "reason", "message", "error_message", "error_class", "cause_chain"),
    }
)
#: The same of a node that somebody has stopped, and of the queue.
OWN_OF_NODE = frozenset(
    {
        *(
            "id",
            "node",
            "name",
            "base_url",
            "created_at",
            "generation",
            "restarts",
            "checkpoint",
            "ram_bytes",
        ),
        *(
            "state_reason",
            "state_since",
            "last_ready_at",
            "wish_by",
            "wish_at",
            "woken_at",
            "progress_version",
        ),
        *("begun_at", "begun_because", "ready_at", "ended_at", "ended_because"),
        "key_fingerprint",
        *("next_position", "version", "submitted", "queued", "running", "completed", "failed", "cancelled"),
    }
)


def rows_of(job_id: int) -> dict[str, list[dict[str, Any]]]:
    """By table: the job, what it was made of, and whatever refers to it, in the order in which it was written."""
    job = Job.objects.get(pk=job_id)
    submission = job.record.submission
    found = {
        "Job": [values_of(job)],
        "JobRecord": [values_of(job.record)],
        "Submission": [values_of(submission) | {"revisions": [row.pk for row in submission.revisions.all()]}],
    }
    for relation in Job._meta.related_objects:
        table = relation.related_model
        if table is not Job:
            rows = table._base_manager.filter(**{relation.field.name: job}).order_by("pk")
            found[table.__name__] = [values_of(row) for row in rows]
    return found


def rows_of_a_node() -> Any:
    """The first node, its supervisor and its last boot, and what is counted of the queue; as JSON has them."""
    node = Node.objects.earliest("pk")
    boot = Boot.objects.filter(node=node).latest("generation")
    rows = (node, Runner.objects.get(node=node), boot, QueueControl.objects.get())
    return json.loads(json.dumps([values_of(row) for row in rows], default=str))


def values_of(row: Model) -> dict[str, Any]:
    """By column; JSON is parsed."""
    values = {field.name: field.value_from_object(row) for field in row._meta.concrete_fields}
    if "canonical_json" in values:
        values["canonical_json"] = json.loads(values["canonical_json"])
    return values


def differences(
    one: object, other: object, own: Container[str] = OWN, name: str = "", where: str = ""
) -> Iterator[str]:
    """Each place where two values differ, as a line; of what is a row's `own` only kind and emptiness count."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            yield f"{where}: only {sorted(one.keys() - other.keys())}, only {sorted(other.keys() - one.keys())}"
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], own, key, f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield f"{where}: {len(one)} {one} / {len(other)} {other}"
        for index, (left, right) in enumerate(zip(one, other, strict=False)):
            yield from differences(left, right, own, name, f"{where}[{index}]")
    elif _shown(one, name in own) != _shown(other, name in own):
        yield f"{where}: {one!r} / {other!r}"


def _shown(value: object, is_own: bool) -> object:
    return type(value), value in ("", None) if is_own else value
