"""`manage.py submit_pack NAME_OR_PATH...`: build packs and queue their records, all or nothing."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.core.management.base import CommandParser
from django.db.models import Count
from pydantic import ValidationError

from jobs.building.builder import Build, BuildOptions
from jobs.cli import (
    EXIT_NOT_ALL_COMPLETED,
    EXIT_REFUSED,
    AnsweringCommand,
    CommandAnswer,
    CommandRefused,
    positive_number,
    progress_bar,
)
from jobs.errors import OptionError, PackReadError
from jobs.lifecycle import TERMINAL, JobStatus, Priority, TruthPolicy
from jobs.models import Job
from jobs.packs.options import parse_matrix, parse_override, parse_rows, parse_sweep
from jobs.submitting.ordering import (
    MAX_BUILD_SEED,
    PackOrder,
    build_order,
    find,
    find_preset,
    order_options,
    place,
    plan_order,
)
from jobs.submitting.submission import Submitted

PartT = TypeVar("PartT")
WAIT_POLL_S = 0.25
PRIORITIES = {"low": Priority.LOW, "normal": Priority.NORMAL, "high": Priority.HIGH}
NOTHING: dict[str, Any] = {
    "submission": None,
    "jobs": 0,
    "images": 0,
    "job_ids": [],
    "record_hashes": [],
    "warnings": [],
    "errors": [],
}


class Command(AnsweringCommand):
    help = (
        "Build prompt packs into records and queue them: all packs are built first, then one transaction queues "
        "everything or nothing. Packs are given by name, or by path (then they are imported too)."
    )

    paths = frozenset({"packs", "preset"})

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("packs", nargs="+", metavar="NAME_OR_PATH", help="imported packs, pack files or folders")
        add("--rows", type=_reads(parse_rows), metavar="1-3,7", help="only these rows, counted from 1")
        add(
            "--set",
            dest="overrides",
            action="append",
            default=[],
            type=_reads(parse_override),
            metavar="SECTION.NAME=VALUE",
            help="change a setting of the packs, like txt2img.steps=4 (repeatable)",
        )
        add(
            "--matrix",
            action="append",
            default=[],
            type=_reads(parse_matrix),
            metavar="SLOT=VALUE,...",
            help="values of a [[slot]], like environment=forest,castle (repeatable)",
        )
        add(
            "--skip-unfilled",
            action="store_true",
            help="skip rows with a [[slot]] that has no values, instead of refusing them",
        )
        add(
            "--strict",
            action="store_true",
            help="refuse what would be sent as words although another program reads it, like {2$$a|b} or --steps 20",
        )
        add(
            "--sweep",
            dest="sweeps",
            action="append",
            default=[],
            type=_reads(parse_sweep),
            metavar="SECTION.NAME=VALUE,...",
            help="build every row with each value, like txt2img.cfg_scale=5,7 (repeatable: all combinations)",
        )
        add(
            "--preset",
            metavar="NAME_OR_PATH",
            help="settings that hold where a pack has none: a .json file, or an imported pack's",
        )
        add("--repeat", type=positive_number, default=1, metavar="N", help="each record N times, other seeds")
        add(
            "--seed",
            type=_build_seed,
            metavar="N",
            help="build seed: the same packs, options and seed make the same records again",
        )
        add("--limit", type=positive_number, metavar="N", help="at most N records in all")
        add("--priority", choices=sorted(PRIORITIES), default="normal", help="default: %(default)s")
        add("--run-now", action="store_true", help="before everything queued with this priority")
        add(
            "--truth",
            choices=TruthPolicy.values,
            help="what becomes of pictures that are not as asked (default: STABLENEW_TRUTH)",
        )
        add("--key", help="idempotency key: the same request with the same key is queued once")
        add("--keep-going", action="store_true", help="queue the good packs although others are bad (exit 1)")
        add("--dry-run", action="store_true", help="show what would be made; import and queue nothing")
        add("--wait", action="store_true", help="wait for the jobs; exit 3 unless all of them completed")

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        found = find(options["packs"])
        order = build_order(plan_order(found.packs, _build_options(options)))
        errors = [problem.model_dump(mode="json") for problem in (*found.problems, *order.problems)]
        document = {**NOTHING, **_facts(order, options), "errors": errors}
        if errors and not (options["keep_going"] and order.good):
            raise CommandRefused(errors, {**document, "jobs": 0, "images": 0, "record_hashes": []})
        answer = CommandAnswer(document, exit_code=EXIT_REFUSED if errors else 0)
        _show_order(answer, order)
        for error in errors:
            answer.line(f"LEFT OUT: {error['message']}")
        if options["dry_run"]:
            return answer.line("A dry run: nothing was imported, nothing queued.")
        submitted = place(
            order.good,
            priority=PRIORITIES[options["priority"]],
            run_now=options["run_now"],
            key=options["key"],
            truth=TruthPolicy(options["truth"]) if options["truth"] else None,
        )
        _show_submitted(answer, submitted)
        if options["wait"]:
            self._wait(answer, submitted, shown=not options["json"])
        return answer

    def _wait(self, answer: CommandAnswer, submitted: Submitted, *, shown: bool) -> None:
        """Until every job ended; Ctrl-C only stops the waiting."""
        total = len(submitted.job_ids)
        counts = _statuses(submitted)
        try:
            with progress_bar(shown=shown) as bar:
                task = bar.add_task("waiting", total=total)
                while (ended := sum(counts.get(status, 0) for status in TERMINAL)) < total:
                    bar.update(task, completed=ended)
                    time.sleep(WAIT_POLL_S)
                    counts = _statuses(submitted)
        except KeyboardInterrupt:
            answer.line("Stopped waiting; the jobs go on.")
        answer.document["statuses"] = counts
        answer.line(", ".join(f"{number:,} {status}" for status, number in sorted(counts.items())))
        if counts.get(JobStatus.COMPLETED, 0) < total:
            answer.exit_code = EXIT_NOT_ALL_COMPLETED


def _reads(parse: Callable[[str], PartT]) -> Callable[[str], PartT]:
    """An argument type whose refusal says what was expected."""

    def read(text: str) -> PartT:
        try:
            return parse(text)
        except OptionError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return read


def _build_seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed <= MAX_BUILD_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {MAX_BUILD_SEED}")
    return seed


def _build_options(options: Mapping[str, Any]) -> BuildOptions:
    try:
        return order_options(
            rows=options["rows"],
            overrides=dict(options["overrides"]),
            matrix=dict(options["matrix"]),
            repeat=options["repeat"],
            limit=options["limit"],
            seed=options["seed"],
            run_now=options["run_now"],
            key=options["key"],
            sweeps=dict(options["sweeps"]),
            preset=find_preset(options["preset"]) if options["preset"] else None,
            skip_unfilled=options["skip_unfilled"],
            strict=options["strict"],
        )
    except PackReadError as exc:
        raise CommandRefused([{"code": "preset", "message": str(exc)}], NOTHING) from exc
    except ValidationError as exc:
        # Words on a command line can hold bytes that are no text.
        found = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()]
        errors = [{"code": "options", "message": message} for message in found]
        raise CommandRefused(errors, NOTHING) from exc


def _facts(order: PackOrder, options: Mapping[str, Any]) -> dict[str, Any]:
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


def _show_order(answer: CommandAnswer, order: PackOrder) -> None:
    answer.table(
        "",
        ("pack", "rows", "matrix", "sweep", "repeat", "records", "images"),
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
    answer.line(f"{order.job_count:,} records, {order.image_count:,} pictures; build seed {seed}")


def _spread(combinations: Sequence[int]) -> str:
    if not combinations:
        return "0"
    low, high = min(combinations), max(combinations)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _show_submitted(answer: CommandAnswer, submitted: Submitted) -> None:
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
    if submitted.created:
        answer.line(f"Submission {submitted.submission.pk}: jobs {first} to {last} are queued.")
    else:
        answer.line(f"This key made submission {submitted.submission.pk} before (jobs {first} to {last}).")


def _statuses(submitted: Submitted) -> dict[str, int]:
    rows = (
        Job.objects.filter(record__submission=submitted.submission, rerun_of=None)
        .order_by()
        .values_list("status")
        .annotate(number=Count("id"))
    )
    return dict(rows)
