"""The benchmark's document as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jobs.cli import CommandAnswer
from tests.benchmark.processor import LOOKED_AT

#: What was measured, the number, its budget.
Line = tuple[str, str, str]


def show(answer: CommandAnswer, document: Mapping[str, Any]) -> CommandAnswer:
    """Everything that was measured, as lines and tables."""
    machine = document["machine"]
    parts = (f"{machine['cpus']} cores ({machine['cpu']}), load {machine['load']} at the start",)
    answer.line("; ".join((*parts, machine["system"], f"Python {machine['python']}", "SQLite")))
    rows = [
        (*line, *_beside(document[name]))
        for name, lines in LINES.items()
        if name in document
        for line in lines(document[name])
    ]
    if rows:
        beside = ("5,000,000 squares", "fsync", "bare transaction")
        answer.table("", ("what", "measured", "budget", *beside), rows)
    if part := document.get("pages"):
        _show_pages(answer, part)
    if part := document.get("bulk"):
        _show_bulk(answer, part)
    return answer


def _processor(part: Mapping[str, Any]) -> list[Line]:
    what = f"build {part['records']:,} records of a kilobyte"
    return [
        (f"{what}, one stage", f"{part['one_stage_s']:.2f} s", "2 s"),
        (f"{what}, four stages", f"{part['four_stages_s']:.2f} s", "2 s"),
        ("build the first 8 records of 10 billion", f"{part['huge_matrix_s'] * 1000:.1f} ms", "1 s"),
        (f"redact a log of {part['tail_lines']:,} lines", f"{part['redact_s']:.2f} s", "1 s"),
        *(
            (f"look at a megapixel, {kind}", f"{part[f'look_{kind.lower()}_s'] * 1000:.1f} ms", "8 ms")
            for kind in LOOKED_AT
        ),
    ]


def _submit(part: Mapping[str, Any]) -> list[Line]:
    return [
        (f"build {part['records']:,} records", f"{part['build_s']:.2f} s", ""),
        (f"submit {part['records']:,} records, all or nothing", f"{part['submit_s']:.2f} s", "3 s"),
        ("bare bulk_create of the same rows", f"{part['bare_bulk_create_s']:.2f} s", ""),
        ("submit against bare", f"{part['ratio']:.2f} x", "3 x"),
    ]


def _overhead(part: Mapping[str, Any]) -> list[Line]:
    return [
        (f"our time per job, p50 of {part['jobs']} jobs", f"{part['ours_p50_ms']:.1f} ms", "15 ms"),
        ("our time per job, p95", f"{part['ours_p95_ms']:.1f} ms", "40 ms"),
        ("one bare request, p50", f"{part['bare_post_p50_ms']:.1f} ms", ""),
    ]


def _claim(part: Mapping[str, Any]) -> list[Line]:
    what = f"claim at {part['queued']:,} queued + {part['finished']:,} finished"
    return [
        (f"{what}, p50", f"{part['p50_ms']:.2f} ms", "2 ms"),
        ("claim, p95", f"{part['p95_ms']:.2f} ms", ""),
    ]


def _preflight(part: Mapping[str, Any]) -> list[Line]:
    what = f"check {part['records']:,} records against {part['nodes']} nodes with {part['loras']:,} LoRAs"
    return [
        (f"what {part['records']:,} records need", f"{part['needs_s']:.2f} s", "0.3 s"),
        ("read the catalogs of these nodes", f"{part['catalogs_s']:.2f} s", ""),
        (what, f"{part['whole_s']:.2f} s", "1 s"),
        (f"claim behind {part['held']:,} held jobs, p50", f"{part['claim_p50_ms']:.2f} ms", ""),
        ("the same, p95", f"{part['claim_p95_ms']:.2f} ms", ""),
    ]


def _recovery(part: Mapping[str, Any]) -> list[Line]:
    budget = f"{part['boot_p50_s'] + part['settle_s'] + 1:.1f} s"
    what = f"from the WebUI's death to the retry, p95 of {part['crashes']}"
    return [
        (what, f"{part['to_retry_p95_s']:.2f} s", budget),
        ("of it beside its own boot and settling, p95", f"{part['ours_p95_s']:.2f} s", "1 s"),
    ]


def _demo(part: Mapping[str, Any]) -> list[Line]:
    return [("the demo, from its start to its end", f"{part['seconds']:.1f} s", "60 s")]


LINES: Mapping[str, Callable[[Mapping[str, Any]], list[Line]]] = {
    "processor": _processor,
    "submit": _submit,
    "overhead": _overhead,
    "claim": _claim,
    "preflight": _preflight,
    "recovery": _recovery,
    "demo": _demo,
}


def _beside(part: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the machine took for known work when the part was measured; the last only of parts that write rows."""
    calibration = part["calibration"]
    bare_ms = part.get("bare_transaction_ms") or part.get("bare_bulk_create_s", 0) * 1000
    return (
        f"{calibration['squares_s']:.2f} s",
        f"{calibration['fsync_ms']:.2f} ms",
        f"{bare_ms:.1f} ms" if bare_ms else "",
    )


def _show_beside(answer: CommandAnswer, part: Mapping[str, Any]) -> None:
    squares, fsync, bare = _beside(part)
    rows = f", a bare transaction of the rows of a chunk {bare}" if bare else ""
    answer.line(f"Beside it: 5,000,000 squares in {squares}, one fsync {fsync}{rows}.")


def _show_pages(answer: CommandAnswer, part: Mapping[str, Any]) -> None:
    answer.table(
        f"Pages at {part['queued']:,} queued of {part['jobs']:,} jobs, {part['requests']} requests each, milliseconds",
        ("page", "p50", "p95", "longest", "p50 of the processor", "queries", "its own", "budget", ""),
        (
            (
                page["page"],
                *(f"{page[name]:.1f}" for name in ("p50_ms", "p95_ms", "max_ms", "cpu_p50_ms")),
                page["queries"],
                page["own_queries"],
                f"{page['budget_ms']:g}",
                "missed" if page["p95_ms"] > page["budget_ms"] else "",
            )
            for page in part["pages"]
        ),
    )
    _show_beside(answer, part)


def _show_bulk(answer: CommandAnswer, part: Mapping[str, Any]) -> None:
    answer.table(
        "Acts on many jobs",
        ("act", "jobs", "asked in", "done in", "chunks", "longest chunk"),
        (
            (
                act["act"],
                f"{act['done']:,}",
                f"{act['ask_ms']:.0f} ms",
                f"{act['total_s']:.1f} s",
                act["chunks"],
                f"{act['longest_ms']:.0f} ms",
            )
            for act in part["acts"]
        ),
    )
    _show_beside(answer, part)
    answer.line("The ledger holds." if part["ledger_holds"] else f"THE LEDGER IS WRONG: {part['ledger']}")
