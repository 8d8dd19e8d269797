"""How long it takes to hold what records need against what nodes have, and a claim behind jobs that are held."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, JobRecord, NeedSet, NodeLack, QueueControl, Runner
from jobs.packs.pack import parse_pack
from jobs.queue.claims import claim_next
from jobs.queue.enqueue import INSERT_ROWS
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.queue.servers import known_servers
from jobs.records.needs import needs_of_all
from jobs.submitting.importing import import_pack
from jobs.submitting.preflight import check, preflight
from jobs.submitting.submission import BuiltPack, submit_packs
from tests.benchmark.calibration import bare_move_ms
from tests.benchmark.measures import percentile
from webui.models import Node, NodeCatalog, NodeState
from webui.nodes.catalogs import as_document
from webui.work.catalog import Catalog, Entry, Thing

RECORDS = 5_000
NODES = 8
LORAS = 2_000
#: Rows of the pack, each with a LoRA of its own; every tenth of them is on no node.
ROWS = 100
ROUNDS = 9
HELD = 90_000
HELD_SETS = 250
CLAIMS = 200


def preflights(most_records: int, most_held: int) -> dict[str, Any]:
    """Seconds of the parts of a check, medians; then milliseconds of claims behind held jobs."""
    nodes = [_node(number) for number in range(NODES)]
    records = min(RECORDS, most_records)
    count = min(ROWS, records)
    rows = (f"<lora:{_lora(row)}:0.7>\na keep {row}\nneg: low" for row in range(count))
    source = PackSource("benchmark", "\n\n".join(rows), "")
    made = build(source, BuildOptions(build_seed=1, repeat=records // count, max_records=records))
    found = check(made.records, known_servers())
    held = len(found.held)
    measured = {
        "records": len(made.records),
        "nodes": len(nodes),
        "loras": LORAS,
        "cannot_run": held,
        "needs_s": _median_s(lambda: needs_of_all(made.records)),
        "catalogs_s": _median_s(known_servers),
        "whole_s": _median_s(lambda: preflight(made.records, made.hashes)),
    }
    return measured | _claims_behind_held(nodes[0], min(HELD, most_held))


def _lora(row: int) -> str:
    return f"{'missing' if row % 10 == 0 else 'style'}-{row}"


def _node(number: int) -> Node:
    node = Node.objects.create(name=f"bench{number}", base_url="http://127.0.0.1:9", state=NodeState.READY)
    loras = tuple(
        Entry(f"style-{one}", (f"style-{one}.safetensors",), (f"{one:064x}",)) for one in range(LORAS)
    )
    document = as_document(Catalog(lists={Thing.LORA: loras}))
    NodeCatalog.objects.create(node=node, document=document, read_at=timezone.now())
    return node


def _median_s(act: Callable[[], object]) -> float:
    times_s = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        act()
        times_s.append(time.perf_counter() - began_s)
    return percentile(times_s, 0.5)


def _claims_behind_held(node: Node, held: int) -> dict[str, Any]:
    claims = min(CLAIMS, held)
    source = PackSource("free", "a moat\nneg: low\n", "")
    revision = import_pack(parse_pack(source)).revision
    submitted = submit_packs([BuiltPack(revision, build(source, BuildOptions(build_seed=1, repeat=claims)))])
    record = JobRecord.objects.filter(submission=submitted.submission).first()
    assert record is not None
    sets = [NeedSet.objects.create(sha256=f"{number:064}", document="[]") for number in range(HELD_SETS)]
    NodeLack.objects.bulk_create(NodeLack(node=node, needs=one, missing=[]) for one in sets)
    Job.objects.bulk_create(
        (Job(record=record, needs=sets[n % HELD_SETS], position=n - held) for n in range(held)),
        batch_size=INSERT_ROWS,
    )
    # The ledger balances by constraint, so it must know the rows that came past the door.
    QueueControl.objects.update(submitted=held + claims, queued=held + claims)
    runner, owner = Runner.objects.create(node=node), ProcessIdentity.of_self()
    times_ms, claimed = [], []
    for _ in range(claims):
        began_s = time.perf_counter()
        claim = claim_next(runner.pk, owner)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        if claim is None:
            raise RuntimeError("nothing was claimed")
        claimed.append(claim.job_id)
        move_job(claim.job_id, JobStatus.CANCELLED, event=EventType.CANCELLED, run_token=claim.run_token)
    return {
        "held": held,
        "held_sets": HELD_SETS,
        "claim_p50_ms": percentile(times_ms, 0.5),
        "claim_p95_ms": percentile(times_ms, 0.95),
        "bare_transaction_ms": bare_move_ms([[job_id] for job_id in claimed]),
    }
