"""`manage.py submit_pack NAME_OR_PATH...`: build packs and queue their records, all or nothing.

With `--kind`, folders and lists of pictures are packs of films or edits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.core.management.base import CommandParser
from pydantic import ValidationError

from jobs.building.builder import BuildOptions
from jobs.cli import (
    EXIT_NOT_ALL_COMPLETED,
    EXIT_REFUSED,
    AnsweringCommand,
    ArgumentsRefused,
    CommandAnswer,
    CommandRefused,
    positive_number,
    progress_bar,
)
from jobs.errors import OptionError, PackReadError
from jobs.lifecycle import TERMINAL, JobStatus, Priority, TruthPolicy
from jobs.management.order_answer import order_facts, show_order, show_submitted
from jobs.management.picture_answer import (
    add_picture_arguments,
    find_asked,
    keep_asked,
    picture_facts,
    show_pictures,
)
from jobs.management.preflight_answer import (
    check_builds,
    kinds_of,
    no_workers_for,
    refusal,
    show_choice,
    show_held,
    show_preflight,
    wait_state,
)
from jobs.packs.options import parse_matrix, parse_override, parse_rows, parse_sweep
from jobs.submitting.ordering import (
    MAX_BUILD_SEED,
    build_order,
    find_preset,
    order_options,
    place,
    plan_order,
)
from jobs.submitting.preflight import OnMissing, Preflight
from jobs.submitting.preflight_words import remedy
from jobs.submitting.submission import Submitted, find_submission

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
    "inputs": {"pictures": 0, "bytes": 0},
    "made": [],
    "notes": [],
    "preflight": None,
    "errors": [],
}


class Command(AnsweringCommand):
    help = (
        "Build prompt packs into records and queue them: all packs are built first, then one transaction queues "
        "everything or nothing. Packs are given by name, or by path (then they are imported too). With --kind also "
        "pictures: a folder (a caption cat.txt beside cat.png is its prompt), or a .csv or .jsonl list with image "
        "(or images), prompt and negative_prompt."
    )

    paths = frozenset({"packs", "preset"})

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("packs", nargs="+", metavar="NAME_OR_PATH", help="imported packs, pack files or folders")
        add_picture_arguments(parser)
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
            help="what becomes of results that differ from the request (default: STABLENEW_TRUTH)",
        )
        add("--key", help="idempotency key: the same request with the same key is queued once")
        add("--keep-going", action="store_true", help="queue the good packs although others are bad (exit 1)")
        add("--dry-run", action="store_true", help="show what would be made; import and queue nothing")
        add("--node", metavar="NAME", help="with --dry-run: check what is needed against this node alone")
        missing = parser.add_mutually_exclusive_group()
        missing.add_argument(
            "--leave-out-missing",
            dest="on_missing",
            action="store_const",
            const=OnMissing.LEAVE_OUT,
            help="queue the others where no node has what some records need, instead of refusing all",
        )
        missing.add_argument(
            "--submit-anyway",
            dest="on_missing",
            action="store_const",
            const=OnMissing.ANYWAY,
            help="queue everything, also what no node has the means for, and hold nothing for it",
        )
        parser.set_defaults(on_missing=OnMissing.STOP)
        add("--wait", action="store_true", help="wait for the jobs; exit 3 unless all of them completed")

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        if options["node"] and not options["dry_run"]:
            message = "--node goes with --dry-run: what is queued runs on any node that can."
            raise ArgumentsRefused.saying(message, "arguments")
        found, build_options = find_asked(options), _build_options(options)
        order = build_order(plan_order(found.packs.packs, build_options))
        problems = (*found.problems(build_options), *order.problems)
        errors = [problem.model_dump(mode="json") for problem in problems]
        pictures = picture_facts(found, order)
        document = {**NOTHING, **order_facts(order, options), **pictures, "errors": errors}
        if errors and not (options["keep_going"] and order.good):
            raise CommandRefused(errors, {**document, "jobs": 0, "images": 0, "record_hashes": []})
        answer = CommandAnswer(document, exit_code=EXIT_REFUSED if errors else 0)
        show_order(answer, order)
        show_pictures(answer, pictures, order)
        for error in errors:
            answer.line(f"LEFT OUT: {error['message']}")
        missing = check_builds(order.good, options["node"], dry_run=options["dry_run"])
        on_missing = options["on_missing"]
        answer.document["preflight"] = missing.as_json()
        refused = refusal(missing, on_missing)
        if options["dry_run"]:
            return _dry_run(answer, missing, refused)
        if refused and not (options["key"] and find_submission(options["key"])):
            nothing = {"jobs": 0, "images": 0, "record_hashes": []}
            raise CommandRefused([*errors, *refused], {**answer.document, **nothing})
        show_preflight(answer, missing)
        keep_asked(found.lists, order.good, options)
        submitted = place(
            order.good,
            priority=PRIORITIES[options["priority"]],
            run_now=options["run_now"],
            key=options["key"],
            on_missing=on_missing,
            found=missing,
            truth=TruthPolicy(options["truth"]) if options["truth"] else None,
        )
        show_submitted(answer, submitted)
        if submitted.created:
            show_choice(answer, missing, on_missing)
        if options["wait"]:
            self._wait(answer, submitted, shown=not options["json"])
        return answer

    def _wait(self, answer: CommandAnswer, submitted: Submitted, *, shown: bool) -> None:
        """Until every job ended or no node can run those that are left; Ctrl-C only stops the waiting."""
        total = len(submitted.job_ids)
        counts, lacking = wait_state(submitted)
        kinds, told = kinds_of(submitted), set[str]()
        try:
            with progress_bar(shown=shown) as bar:
                task = bar.add_task("waiting", total=total)
                while (ended := sum(counts.get(status, 0) for status in TERMINAL)) < total:
                    bar.update(task, completed=ended)
                    if lacking:
                        show_held(answer, lacking)
                        break
                    # Somebody may start one meanwhile, so the waiting goes on.
                    for hold in no_workers_for(kinds, counts) if shown else ():
                        if hold.text not in told:
                            told.add(hold.text)
                            self.stderr.write(f"{hold.text} {hold.remedy}", self.style.WARNING)
                    time.sleep(WAIT_POLL_S)
                    counts, lacking = wait_state(submitted)
        except KeyboardInterrupt:
            answer.line("Stopped waiting; the jobs go on.")
        answer.document["statuses"] = counts
        answer.line(", ".join(f"{number:,} {status}" for status, number in sorted(counts.items())))
        if counts.get(JobStatus.COMPLETED, 0) < total:
            answer.exit_code = EXIT_NOT_ALL_COMPLETED


def _dry_run(answer: CommandAnswer, missing: Preflight, refused: list[dict[str, Any]]) -> CommandAnswer:
    """Exit code 1 where the same without --dry-run would be refused."""
    show_preflight(answer, missing)
    if refused:
        answer.document["errors"] += refused
        answer.exit_code = EXIT_REFUSED
        answer.line(remedy())
    return answer.line("A dry run: nothing was imported, nothing queued.")


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
