"""`queue`, `jobs` and `doctor`: what they show, change and refuse, and their exit codes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.bulk.acts import CHUNK
from jobs.lifecycle import EventType, JobStatus, Priority
from jobs.models import Job, OutputImage, QueueControl, StageAttempt
from jobs.queue.moves import move_job
from tests.factories import make_job, make_node, make_pack, make_running_job, submit
from tests.integration.console import Console

pytestmark = pytest.mark.django_db(transaction=True)


def test_queue_status_holds_pause_ledger_and_nodes(console: Console) -> None:
    make_node("gpu", simulated=True)
    submit(repeat=3)
    document = console.json("queue", "status")
    assert document["paused"] is False
    assert document["reason"] == ""
    assert document["ledger"] == {
        "submitted": 3, "queued": 3, "running": 0, "completed": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    [node] = document["nodes"]
    assert (node["name"], node["state"], node["simulated"]) == ("gpu", "READY", True)
    assert console.run("queue", "status") == 0
    assert "gpu (simulated)" in console.out


def test_json_may_stand_before_or_behind_the_verb(console: Console) -> None:
    assert console.run("queue", "--json", "status") == 0
    assert json.loads(console.out)["ledger"]["submitted"] == 0


def test_pause_keeps_its_reason_and_resume_takes_it_away(console: Console) -> None:
    paused = console.json("queue", "pause", "--reason", "new card")
    assert (paused["paused"], paused["reason"], paused["changed"]) == (True, "new card", True)
    assert console.json("queue", "pause")["changed"] is False
    assert console.run("queue", "status") == 0
    assert "PAUSED" in console.out
    assert "new card" in console.out
    resumed = console.json("queue", "resume")
    assert (resumed["paused"], resumed["reason"], resumed["changed"]) == (False, "", True)


def test_clear_without_yes_is_refused_where_nobody_can_be_asked(console: Console) -> None:
    submit(repeat=2)
    assert console.run("queue", "clear") == 1
    assert "--yes" in console.err
    assert QueueControl.objects.get().queued == 2


def test_clear_cancels_all_that_waits_and_counts_it(console: Console) -> None:
    _, claim = make_running_job()
    submit(repeat=CHUNK + 1)
    document = console.json("queue", "clear", "--yes")
    assert document["cancelled"] == CHUNK + 1
    assert (document["ledger"]["cancelled"], document["ledger"]["running"]) == (CHUNK + 1, 1)
    assert Job.objects.get(pk=claim.job_id).status == JobStatus.RUNNING


def test_jobs_are_moved_within_the_queue_in_their_order(console: Console) -> None:
    first, second, third, fourth = submit(repeat=4).job_ids

    def order() -> list[int]:
        queued = Job.objects.filter(status=JobStatus.QUEUED).order_by("priority", "position", "id")
        return list(queued.values_list("pk", flat=True))

    assert console.json("queue", "front", fourth, third)["moved"] == 2
    assert order() == [third, fourth, first, second]
    assert console.json("queue", "back", third)["missing"] == 0
    assert order() == [fourth, first, second, third]
    assert console.json("queue", "priority", second, "--to", "high")["moved"] == 1
    assert order() == [second, fourth, first, third]
    assert Job.objects.get(pk=second).priority == Priority.HIGH
    assert console.run("queue", "front", first) == 0
    assert "Moved 1 of 1 jobs to the front" in console.out


def test_moving_a_job_that_does_not_wait_is_said_and_the_others_are_moved(console: Console) -> None:
    running, _ = make_running_job()
    queued = make_job().pk
    document = console.json("queue", "front", running.pk, queued, 4711, expect=1)
    assert (document["moved"], document["missing"]) == (1, 2)
    assert "2 of the jobs named do not wait" in document["errors"][0]["message"]
    assert console.run("queue", "priority", queued) == 2


def test_jobs_list_is_newest_first_and_filtered(console: Console) -> None:
    castle, ship = make_pack("castle"), make_pack("ship")
    first, second, third = (make_job(revision=pack).pk for pack in (castle, ship, castle))
    move_job(second, JobStatus.CANCELLED, event=EventType.CANCELLED)

    def listed(*words: object) -> list[int]:
        return [job["id"] for job in console.json("jobs", "list", *words)["jobs"]]

    assert listed() == [third, second, first]
    assert listed("--pack", "castle") == [third, first]
    assert listed("--status", "cancelled") == [second]
    assert listed("--limit", 1) == [third]
    Job.objects.filter(pk=first).update(kind="i2v")
    assert listed("--kind", "i2v") == [first]
    assert listed("--kind", "image", "--pack", "castle") == [third]
    assert console.run("jobs", "list", "--kind", "film") == 2
    assert console.run("jobs", "list", "--status", "lost") == 2


def test_jobs_show_has_everything_about_a_job(console: Console, settings: Any) -> None:
    job, claim = make_running_job()
    attempt = StageAttempt.objects.create(
        job=job, run_token=claim.run_token, run_number=1, stage="txt2img", stage_index=0,
        node_id=claim.node_id, node_generation=1, task_id="t1",
    )  # fmt: skip
    OutputImage.objects.create(
        job=job, attempt=attempt, stage="txt2img", stage_index=0, image_index=0, path="day/1/a.png",
        sha256="ab" * 32, size_bytes=5, width_px=64, height_px=32, seed=9, infotext="a castle",
    )  # fmt: skip
    document = console.json("jobs", "show", job.pk)
    assert (document["id"], document["status"], document["retry_count"]) == (job.pk, "RUNNING", 0)
    assert document["record"] == json.loads(job.record.canonical_json)
    assert document["record_hash"] == hashlib.sha256(job.record.canonical_json.encode()).hexdigest()
    assert [event["event_type"] for event in document["events"]] == ["SUBMITTED", "QUEUED", "RUNNING"]
    assert [entry["task_id"] for entry in document["stage_attempts"]] == ["t1"]
    assert document["execution_metadata"]["executions"] == 1
    [output] = document["outputs"]
    assert output["path"] == str(Path(settings.STABLENEW_OUTPUT_DIR) / "day/1/a.png")
    assert Path(output["path"]).is_absolute()
    facts = {name: output[name] for name in ("sha256", "stage", "width", "height", "seed")}
    assert facts == {"sha256": "ab" * 32, "stage": "txt2img", "width": 64, "height": 32, "seed": 9}
    assert document["error"] is None
    assert console.run("jobs", "show", job.pk) == 0
    assert output["path"] in console.out


def test_several_jobs_are_shown_in_the_order_asked_for(console: Console) -> None:
    first, second = make_job(), make_job()
    shown = console.json("jobs", "show", second.pk, first.pk)
    assert shown == {"jobs": [console.json("jobs", "show", job.pk) for job in (second, first)]}
    assert "99" in console.json("jobs", "show", first.pk, 99, expect=1)["errors"][0]["message"]
    assert console.run("jobs", "show", second.pk, first.pk) == 0
    assert console.out.index(f"Job {second.pk}:") < console.out.index(f"Job {first.pk}:")


def test_a_job_that_is_not_there_is_refused(console: Console) -> None:
    assert "99" in console.json("jobs", "show", 99, expect=1)["errors"][0]["message"]


def test_cancel_gives_each_job_its_verdict(console: Console) -> None:
    running, _ = make_running_job()
    queued, over = make_job().pk, make_job().pk
    move_job(over, JobStatus.CANCELLED, event=EventType.CANCELLED)
    done = console.json("jobs", "cancel", queued, running.pk)
    assert [(verdict["job"], verdict["result"]) for verdict in done["jobs"]] == [
        (queued, "cancelled"),
        (running.pk, "requested"),
    ]
    late = console.json("jobs", "cancel", over, 99, expect=1)
    assert [verdict["result"] for verdict in late["jobs"]] == ["too_late", "not_found"]
    assert "already CANCELLED" in late["errors"][0]["message"]


def test_doctor_exits_1_and_says_what_to_do_when_something_is_wrong(console: Console) -> None:
    document = console.json("doctor", expect=1)
    assert document["ok"] is False
    wrong = [check for check in document["checks"] if not check["ok"]]
    assert wrong
    assert all(check["message"] and check["remedy"] for check in wrong)
    assert {"database", "settings", "migrations"} <= {c["name"] for c in document["checks"] if c["ok"]}


def test_doctor_names_the_setting_that_is_wrong(console: Console, settings: Any) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "workers": 3}
    checks = {check["name"]: check for check in console.json("doctor", expect=1)["checks"]}
    assert checks["settings"]["ok"] is False
    assert "jobs.E001" in checks["settings"]["message"]
