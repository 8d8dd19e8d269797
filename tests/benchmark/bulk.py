"""How long acts on many jobs take amid a long queue and a long history, and that they leave the ledger balanced."""

from __future__ import annotations

import time
from typing import Any

from django.db.models import Count

from diagnostics.health import check_ledger
from jobs.bulk import acts as acts
from jobs.lifecycle import JobStatus, Priority
from jobs.models import BulkVerb, Job
from jobs.queue.filters import JobFilter
from tests.benchmark.calibration import bare_move_ms

BY = "benchmark"
BARE_CHUNKS = 5


def bulk(most: int) -> dict[str, Any]:
    """Each verb on all that match a filter, stopped once `most` jobs are done; the jobs stay changed."""
    waiting, failed = JobFilter(pack=_fullest_pack()), JobFilter(status=JobStatus.FAILED)
    queued = Job.objects.filter(status=JobStatus.QUEUED).order_by("id")
    ids = list(queued.values_list("pk", flat=True)[: BARE_CHUNKS * acts.CHUNK])
    bare_ms = bare_move_ms([ids[start : start + acts.CHUNK] for start in range(0, len(ids), acts.CHUNK)])
    measured = [
        _act(BulkVerb.FRONT, waiting, most),
        _act(BulkVerb.BACK, waiting, most),
        _act(BulkVerb.PRIORITY, waiting, most, Priority.LOW),
        _act(BulkVerb.CANCEL, JobFilter(checkpoint="_"), most),
        _act(BulkVerb.RETRY, failed, most),
    ]
    ledger = check_ledger()
    return {
        "acts": measured,
        "bare_transaction_ms": bare_ms,
        "ledger_holds": ledger.ok,
        "ledger": ledger.message,
    }


def _fullest_pack() -> str:
    waiting = Job.objects.filter(status=JobStatus.QUEUED).values("pack_name")
    pack = waiting.annotate(number=Count("id")).order_by("-number").first()
    return str(pack["pack_name"]) if pack else ""


def _act(verb: BulkVerb, chosen: JobFilter, most: int, priority: Priority | None = None) -> dict[str, Any]:
    """`ask_ms` is the time to count what matches and to note the act; `total_s` that of all its chunks."""
    began_s = time.perf_counter()
    action = acts.start(verb, chosen, by=BY, priority=priority)
    ask_ms = (time.perf_counter() - began_s) * 1000
    chunks_ms = []
    while action.ended_at is None and action.done < most:
        began_s = time.perf_counter()
        action = acts.advance(action.pk)
        chunks_ms.append((time.perf_counter() - began_s) * 1000)
    acts.stop(action.pk, by=BY)
    return {
        "act": BulkVerb(verb).label,
        "filter": chosen.words(),
        "matched": action.total,
        "done": action.done,
        "ask_ms": ask_ms,
        "total_s": sum(chunks_ms) / 1000,
        "chunks": len(chunks_ms),
        "longest_ms": max(chunks_ms, default=0.0),
    }
