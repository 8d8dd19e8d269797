"""Measurements of the promises about speed, each beside a bare counterpart taken in the same run.

They run on a database of their own: the program makes one per measurement.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import requests
from django.db import transaction
from django.utils import timezone

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, JobRecord, LifecycleEvent, QueueControl, Runner
from jobs.packs.pack import parse_pack
from jobs.queue.claims import claim_next
from jobs.queue.enqueue import INSERT_ROWS
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.records.record import NormalizedJobRecord
from jobs.running.requests import units_of, work_of
from jobs.submitting.importing import import_pack
from jobs.submitting.submission import BuiltPack, Submitted, submit_packs
from tests.benchmark.calibration import bare_move_ms
from webui.driver import driver_of
from webui.models import Node, NodeState
from webui.work.unit import DEFAULT_DRIVER

ROUNDS = 3
CLAIMS = 200
PACK = PackSource(
    pack_id="benchmark",
    text="a [[place]] at [[hour]], wide view, soft light\n<lora:ink:0.6>\nneg: people, text\n",
    document="",
)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0-1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _submit(count: int, seed: int, **overrides: Any) -> tuple[float, float, Submitted]:
    """Build and queue `count` records; seconds of each, and what was queued."""
    revision = import_pack(parse_pack(PACK)).revision
    options = BuildOptions(
        build_seed=seed,
        matrix={"place": ("castle", "harbour"), "hour": ("dawn", "dusk")},
        repeat=math.ceil(count / 4),
        limit=count,
        overrides=overrides,
        max_records=max(count, 10_000),
    )
    began_s = time.perf_counter()
    made = build(PACK, options)
    built_s = time.perf_counter()
    submitted = submit_packs([BuiltPack(revision, made)])
    return built_s - began_s, time.perf_counter() - built_s, submitted


def _bare_insert(like: Submitted) -> float:
    """The rows of a submission once more, by `bulk_create` alone: nothing checked, hashed or summarized."""
    records = list(JobRecord.objects.filter(submission=like.submission).order_by("id"))
    events = list(LifecycleEvent.objects.filter(job__record__submission=like.submission).order_by("id"))
    now = timezone.now()
    for record in records:
        record.pk = None
        record._state.adding = True
    began_s = time.perf_counter()
    with transaction.atomic():
        JobRecord.objects.bulk_create(records, batch_size=INSERT_ROWS)
        jobs = Job.objects.bulk_create(
            [Job(record=record, position=0, submitted_at=now) for record in records], batch_size=INSERT_ROWS
        )
        LifecycleEvent.objects.bulk_create(
            [
                LifecycleEvent(
                    job=jobs[index // 2],
                    sequence=event.sequence,
                    event_type=event.event_type,
                    to_status=event.to_status,
                    at=now,
                    data=event.data,
                )
                for index, event in enumerate(events)
            ],
            batch_size=INSERT_ROWS,
        )
    return time.perf_counter() - began_s


def submitting(count: int) -> dict[str, Any]:
    """Submit `count` records and insert the same rows bare, in turns; medians in seconds."""
    _submit(10, seed=0)
    builds, submits, bares = [], [], []
    for number in range(1, ROUNDS + 1):
        build_s, submit_s, submitted = _submit(count, seed=number)
        builds.append(build_s)
        submits.append(submit_s)
        bares.append(_bare_insert(submitted))
    return {
        "records": count,
        "rounds": ROUNDS,
        "build_s": statistics.median(builds),
        "submit_s": statistics.median(submits),
        "bare_bulk_create_s": statistics.median(bares),
        "ratio": statistics.median(submits) / statistics.median(bares),
    }


def claiming(queued: int, finished: int) -> dict[str, Any]:
    """Claim from a queue of `queued` jobs with `finished` ended ones beside them; milliseconds."""
    _, _, submitted = _submit(1, seed=1)
    record = JobRecord.objects.get(submission=submitted.submission)
    now = timezone.now()
    _bulk(finished, lambda n: Job(record=record, status=JobStatus.COMPLETED, position=-n, finished_at=now))
    _bulk(queued, lambda n: Job(record=record, position=n + 10))
    # The ledger balances by constraint, so it must know the rows that came past the door.
    QueueControl.objects.update(submitted=queued + finished + 1, queued=queued + 1, completed=finished)
    node = Node.objects.create(name="bench", base_url="http://127.0.0.1:9", state=NodeState.READY)
    runner = Runner.objects.create(node=node)
    owner = ProcessIdentity.of_self()
    times_ms, claimed = [], []
    for _ in range(CLAIMS):
        began_s = time.perf_counter()
        claim = claim_next(runner.pk, owner)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        if claim is None:
            raise RuntimeError("nothing was claimed")
        claimed.append(claim.job_id)
        move_job(claim.job_id, JobStatus.CANCELLED, event=EventType.CANCELLED, run_token=claim.run_token)
    return {
        "queued": queued,
        "finished": finished,
        "claims": CLAIMS,
        "p50_ms": percentile(times_ms, 0.5),
        "p95_ms": percentile(times_ms, 0.95),
        "bare_transaction_ms": bare_move_ms([[job_id] for job_id in claimed]),
    }


def _bulk(count: int, make: Callable[[int], Job]) -> None:
    for start in range(0, count, 10_000):
        Job.objects.bulk_create(
            [make(n) for n in range(start, min(count, start + 10_000))], batch_size=INSERT_ROWS
        )


def prepare_jobs(count: int) -> Submitted:
    """Small txt2img jobs for the measurement of our time per job."""
    overrides = {"txt2img.steps": 4, "txt2img.width": 256, "txt2img.height": 256}
    return _submit(count, seed=1, **overrides)[2]


def _no_picture(stage: str, image: int) -> bytes:
    raise LookupError("the first stage begins with no picture")


def post_bare(base_url: str, submitted: Submitted) -> None:
    """The same requests that the jobs sent, one after the other, by the plainest loop there is."""
    rows = JobRecord.objects.filter(submission=submitted.submission).order_by("id")
    for number, row in enumerate(rows):
        record = NormalizedJobRecord.from_canonical(row.canonical_json)
        work = work_of(record, units_of(record)[0][0], _no_picture, task_id=f"bare-{number}")
        request = driver_of(DEFAULT_DRIVER).request(work)
        answer = requests.post(f"{base_url}{request.endpoint}", json=request.body, timeout=60)
        answer.raise_for_status()


def compare(starts_s: Sequence[float], count: int) -> dict[str, Any]:
    """Our time per job: from one request's arrival to the next, minus the same for the bare loop.

    `starts_s` are the arrival times of the jobs' requests followed by those of the bare loop; each job is
    compared with its own request, so that what a picture costs to draw cancels out.
    """
    ours = [later - earlier for earlier, later in pairwise(starts_s[:count])]
    bare = [later - earlier for earlier, later in pairwise(starts_s[count : 2 * count])]
    extra_ms = [(mine - plain) * 1000 for mine, plain in zip(ours, bare, strict=True)]
    return {
        "jobs": count,
        "job_p50_ms": percentile(ours, 0.5) * 1000,
        "bare_post_p50_ms": percentile(bare, 0.5) * 1000,
        "ours_p50_ms": percentile(extra_ms, 0.5),
        "ours_p95_ms": percentile(extra_ms, 0.95),
    }


def crash_rule(count: int) -> str:
    """The simulator's fault for `count` jobs that each kill their WebUI once: every first request, no retry."""
    return "die@" + ",".join(str(number) for number in range(1, 2 * count, 2))


def recovering(journal: Iterable[Mapping[str, Any]], settle_s: float) -> dict[str, Any]:
    """From each death of the WebUI to the arrival of the retry, as the simulator's journal tells; seconds.

    `ours` is what is left without the new WebUI's own boot (from its spawn until its API answers) and without
    `settle_s`, the rest that readiness grants every boot.
    """
    died: float | None = None
    boot = spawned = 0.0
    whole, boots = [], []
    for line in journal:
        at = datetime.fromisoformat(line["time"]).timestamp()
        if line["event"] == "answer" and line["outcome"] == "died":
            died = at
        elif line["event"] == "start":
            spawned = at - (line["age_s"] or 0.0)
        elif line["event"] == "ready":
            boot = at - spawned
        elif line["event"] == "post" and died is not None:
            whole.append(at - died)
            boots.append(boot)
            died = None
    ours = [total - own - settle_s for total, own in zip(whole, boots, strict=True)]
    return {
        "crashes": len(whole),
        "settle_s": settle_s,
        "boot_p50_s": percentile(boots, 0.5),
        "to_retry_p50_s": percentile(whole, 0.5),
        "to_retry_p95_s": percentile(whole, 0.95),
        "ours_p50_s": percentile(ours, 0.5),
        "ours_p95_s": percentile(ours, 0.95),
    }
