"""The figures of a campaign: as a document, and as the lines that a person reads."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fault.campaign.books import count_by
from tests.fault.campaign.drive import Course
from tests.fault.campaign.evidence import Evidence
from tests.fault.campaign.plan import Kind

#: A broken build breaks thousands of promises; the first ones tell why.
SHOWN = 40


def document_of(
    *,
    work: str,
    possible: Sequence[Kind],
    seed: int,
    database: str,
    planted: str,
    course: Course,
    evidence: Evidence,
    violations: Sequence[str],
    skipped: Mapping[str, str],
) -> dict[str, Any]:
    """Everything that is worth keeping of one campaign."""
    struck = [entry.card.kind for entry in course.struck]
    statuses = count_by(evidence.jobs, "status")
    failed = [job["error_code"] for job in evidence.jobs if job["status"] == "FAILED"]
    return {
        "work": work,
        "seed": seed,
        "database": database,
        "planted": planted,
        "duration_s": round(course.duration_s, 1),
        "faults": len(struck),
        "kinds": {kind.name: sum(one is kind for one in struck) for kind in possible},
        "kills_of_our_processes": sum(kind.kills for kind in struck),
        "missed": [f"{card.kind.name} {card.variant}".strip() for card in course.missed],
        "skipped": dict(skipped),
        "starts_of_up": course.ups,
        "cancels": dict(Counter(cancel.result or "no answer" for cancel in evidence.asked.cancels.values())),
        "jobs": {
            "submitted": len(evidence.asked.submitted),
            **{k.lower(): n for k, n in sorted(statuses.items())},
        },
        "failed_by_code": dict(Counter(failed).most_common()),
        "retried_jobs": sum(job["retry_count"] for job in evidence.jobs),
        "completed_after_a_retry": sum(
            job["retry_count"] for job in evidence.jobs if job["status"] == "COMPLETED"
        ),
        "operator_requeues": sum(job["operator_requeues"] for job in evidence.jobs),
        "boots": {
            node: sum(line["event"] == "start" for line in journal)
            for node, journal in evidence.journals.items()
        },
        "recovery_s": {
            kind: {"p50": round(statistics.median(times), 1), "max": max(times)}
            for kind, times in sorted(course.recovery_s.items())
        },
        "violations": list(violations),
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """The document as text."""
    jobs = ", ".join(f"{count} {name}" for name, count in document["jobs"].items())
    lines = [
        f"Campaign ({document['work']}) on {document['database']}, seed {document['seed']}: "
        f"{document['faults']} faults in {document['duration_s']:.0f} s, "
        f"{document['kills_of_our_processes']} of them kills of our own processes.",
        f"Jobs: {jobs}; {document['completed_after_a_retry']} completed after their one retry, "
        f"{document['operator_requeues']} given back by people.",
        "Faults: " + ", ".join(f"{name} {count}" for name, count in document["kinds"].items() if count),
        "Failures: " + (", ".join(f"{name} {n}" for name, n in document["failed_by_code"].items()) or "none"),
        "Until the next completed request (p50/max s): "
        + ", ".join(f"{kind} {one['p50']}/{one['max']}" for kind, one in document["recovery_s"].items()),
    ]
    if document["planted"]:
        lines.insert(1, f"A bug was planted on purpose: {document['planted']}.")
    if document["missed"]:
        lines.append("Their moment did not come: " + ", ".join(document["missed"]))
    lines += [f"{kind} could not strike here: {why}" for kind, why in document["skipped"].items()]
    violations = document["violations"]
    lines.append(f"Violations: {len(violations) or 'none'}")
    lines += [f"  {sentence}" for sentence in violations[:SHOWN]]
    if len(violations) > SHOWN:
        lines.append(f"  ... and {len(violations) - SHOWN} more, in the report.")
    return lines
