"""What `submit_pack` says of the packs that it built and of what it queued."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.building.builder import Build
from jobs.cli import CommandAnswer
from jobs.packs.kinds import IMAGE
from jobs.submitting.ordering import PackOrder
from jobs.submitting.submission import Submitted
from webui.kinds import count_results
from webui.words import count


def order_facts(order: PackOrder, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "jobs": order.job_count,
        "images": order.image_count,
        "record_hashes": [digest for made in order.builds for digest in made.hashes],
        "build_seed": order.builds[0].options.build_seed if order.builds else None,
        "dry_run": options["dry_run"],
        "packs": [_pack_facts(made) for made in order.builds],
        "warnings": [
            {"pack": made.source.pack_id, **warning.model_dump(mode="json")}
            for made in order.builds
            for warning in made.warnings
        ],
    }


def _pack_facts(made: Build) -> dict[str, Any]:
    return {
        "pack": made.source.pack_id,
        "rows": made.counts.rows,
        "combinations": list(made.counts.combinations),
        "sweeps": made.counts.sweeps,
        "repeats": made.counts.repeats,
        "all_records": made.counts.all_records,
        "records": len(made.records),
        "images": sum(record.image_count for record in made.records),
    }


def show_order(answer: CommandAnswer, order: PackOrder) -> None:
    answer.table(
        "",
        ("pack", "rows", "matrix", "sweep", "repeat", "records", "results"),
        [
            (
                facts["pack"],
                facts["rows"],
                _spread(facts["combinations"]),
                facts["sweeps"],
                facts["repeats"],
                f"{facts['records']:,}",
                f"{facts['images']:,}",
            )
            for facts in map(_pack_facts, order.builds)
        ],
    )
    for made in order.builds:
        for warning in made.warnings:
            answer.line(f"{made.source.pack_id}: {warning}")
    seed = order.builds[0].options.build_seed
    answer.line(f"{count(order.job_count, 'record')}, {_results(order)}; build seed {seed}")


def _results(order: PackOrder) -> str:
    """What the records make, like `3 pictures and 2 films`."""
    counts = Counter({IMAGE: 0}) if not order.job_count else Counter[str]()
    for made in order.builds:
        for record in made.records:
            counts[made.source.kind] += record.image_count
    return count_results(counts)


def _spread(combinations: Sequence[int]) -> str:
    if not combinations:
        return "0"
    low, high = min(combinations), max(combinations)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def show_submitted(answer: CommandAnswer, submitted: Submitted) -> None:
    answer.document.update(
        submission=submitted.submission.pk,
        created=submitted.created,
        jobs=len(submitted.job_ids),
        images=submitted.submission.image_count,
        job_ids=list(submitted.job_ids),
        record_hashes=list(submitted.record_hashes),
        build_seed=submitted.submission.build_seed,
    )
    first, last = submitted.job_ids[0], submitted.job_ids[-1]
    jobs, are = (f"job {first}", "is") if first == last else (f"jobs {first} to {last}", "are")
    if submitted.created:
        answer.line(f"Submission {submitted.submission.pk}: {jobs} {are} queued.")
    else:
        answer.line(f"This key made submission {submitted.submission.pk} before ({jobs}).")
