"""`manage.py queue`: look at the queue, pause it, let it go on, move jobs within it, clear it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from jobs.bulk import acts
from jobs.bulk.words import result_of
from jobs.cli import (
    EXIT_REFUSED,
    AnsweringCommand,
    CommandAnswer,
    CommandRefused,
    positive_number,
    progress_bar,
    who,
)
from jobs.clock import database_now
from jobs.lifecycle import Priority
from jobs.models import BulkVerb, QueueControl
from jobs.queue import control
from jobs.queue.filters import JobFilter
from jobs.queue.hold_words import holds_of, holds_of_queue, told_together
from jobs.queue.holds import NodeFacts, facts_of, occupants, pause_of, runner_of
from jobs.reading.live import running_jobs
from webui.models import Node

MOVES = {
    BulkVerb.FRONT: "waiting jobs run first of their priority, in their order",
    BulkVerb.BACK: "waiting jobs run last of their priority, in their order",
    BulkVerb.PRIORITY: "waiting jobs go to the end of another priority",
}
COLUMNS = ("kind", "card", "state", "base_url", "worker")
LEDGER = ("submitted", "queued", "running", "completed", "failed", "cancelled")


class Command(AnsweringCommand):
    help = (
        "Look at the queue (status), stop new claims (pause), go on (resume), move waiting jobs (front ID..., "
        "back ID..., priority ID... --to HIGH), let held jobs run (anyway), cancel all that wait (clear)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(
            dest="verb", required=True, metavar="status|pause|resume|front|back|priority|anyway|clear"
        )
        super().add_arguments(verbs.add_parser("status", help="counts, nodes, and whether it is paused"))
        pause = verbs.add_parser("pause", help="no new job starts; the running one goes on")
        pause.add_argument("--reason", default="", help="why, for those who look at the queue")
        super().add_arguments(pause)
        super().add_arguments(verbs.add_parser("resume", help="jobs start again"))
        for verb, words in MOVES.items():
            move = verbs.add_parser(verb, help=words)
            move.add_argument("job_ids", type=positive_number, metavar="ID", nargs="+")
            if verb == BulkVerb.PRIORITY:
                move.add_argument("--to", type=str.upper, choices=Priority.names, required=True)
            super().add_arguments(move)
        anyway = verbs.add_parser(
            "anyway", help="held jobs run although no node has what they need; without an ID all of them"
        )
        anyway.add_argument("job_ids", type=positive_number, metavar="ID", nargs="*")
        super().add_arguments(anyway)
        clear = verbs.add_parser("clear", help="cancel every queued job; the running one goes on")
        clear.add_argument("--yes", action="store_true", help="do not ask")
        super().add_arguments(clear)

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        match options["verb"]:
            case "pause":
                changed = control.pause(by=who(), reason=options["reason"])
                words = "The queue is paused." if changed else "The queue was paused already."
            case "resume":
                changed = control.resume(by=who())
                words = "The queue goes on." if changed else "The queue was not paused."
            case "anyway":
                return _anyway(options)
            case "clear":
                return _clear(options)
            case "front" | "back" | "priority":
                return _move(BulkVerb(options["verb"]), options)
            case _:
                return _status()
        return CommandAnswer({**_control(), "changed": changed}).line(words)


def _control() -> dict[str, Any]:
    control = QueueControl.objects.get(pk=QueueControl.SINGLETON_ID)
    return {
        "paused": control.paused,
        "reason": control.pause_reason,
        "paused_by": control.paused_by,
        "paused_at": control.paused_at,
        "ledger": {name: getattr(control, name) for name in LEDGER},
    }


def _status() -> CommandAnswer:
    now = database_now()
    control = QueueControl.objects.get(pk=QueueControl.SINGLETON_ID)
    running = occupants()
    nodes = list(Node.objects.select_related("runner").order_by("name"))
    facts = [facts_of(node, runner_of(node), now=now, running=running) for node in nodes]
    holds = holds_of_queue(pause_of(control), facts, now, queued=control.queued)
    told = [_node(node, one, now) for node, one in zip(nodes, facts, strict=True)]
    document = {**_control(), "holds": [hold.as_json() for hold in holds], "nodes": told}
    answer = CommandAnswer(document).line(
        "The queue is PAUSED." if control.paused else "The queue is running."
    )
    for hold in told_together(holds, facts):
        answer.line(f"{hold.text} {hold.remedy}")
    for run in running_jobs():
        answer.line(f"Job {run.line.id} on {run.node}: {run.progress.line if run.progress else 'started'}.")
    answer.table("", LEDGER, [[f"{count:,}" for count in document["ledger"].values()]])
    if not nodes:
        return answer
    rows = [
        (n["name"] + (" (simulated)" if n["simulated"] else ""), *(n[column] for column in COLUMNS))
        for n in told
    ]
    return answer.table("", ("node", "takes", "card", "state", "address", "runner"), rows)


def _node(node: Node, facts: NodeFacts, now: datetime) -> dict[str, Any]:
    runner = runner_of(node)
    age_s = (now - facts.heartbeat_at).total_seconds() if facts.heartbeat_at else None
    return {
        "name": node.name,
        "state": node.state,
        "reason": node.state_reason,
        "base_url": node.base_url,
        "kind": node.kind,
        "card": node.card,
        "simulated": node.simulated,
        "managed": node.managed,
        "generation": node.generation,
        "restarts": node.restarts,
        "worker": "running" if facts.alive else "silent" if facts.heartbeat_at else "not running",
        "heartbeat_age_s": age_s,
        "progress": runner.progress if runner else None,
        "breaker": facts.breaker.as_json(),
        "holds": [hold.as_json() for hold in holds_of(facts, now)],
    }


def _clear(options: Mapping[str, Any]) -> CommandAnswer:
    waiting = QueueControl.objects.values_list("queued", flat=True).get(pk=QueueControl.SINGLETON_ID)
    if waiting and not options["yes"] and not _confirmed(waiting):
        raise CommandRefused.saying("Nothing was cancelled. Give --yes to cancel without being asked.")
    action = acts.start(BulkVerb.CANCEL, JobFilter(), by=who())
    with progress_bar(shown=not options["json"]) as bar:
        task = bar.add_task("cancelling", total=action.total)
        for state in acts.run(action):
            action = state
            bar.update(task, completed=action.done)
    document = {"cancelled": action.done, **_control()}
    return CommandAnswer(document).line(f"{action.done:,} queued jobs are cancelled.")


def _move(verb: BulkVerb, options: Mapping[str, Any]) -> CommandAnswer:
    """Exit code 1 when one of the jobs does not wait any more, or is not there."""
    priority = Priority[options["to"]] if verb == BulkVerb.PRIORITY else None
    action = acts.start(verb, options["job_ids"], by=who(), priority=priority)
    for state in acts.run(action):
        action = state
    missing = len(set(options["job_ids"])) - action.done
    where = f"to priority {priority.label}" if priority else f"to the {verb} of their priority"
    errors = []
    if missing:
        message = (
            f"{missing:,} of the jobs named do not wait in the queue; only those that wait can be moved."
        )
        errors.append({"code": "not_queued", "message": message})
    answer = CommandAnswer(
        {"moved": action.done, "missing": missing, "errors": errors}, exit_code=EXIT_REFUSED if errors else 0
    )
    answer.line(f"Moved {action.done:,} of {action.done + missing:,} jobs {where}.")
    for error in errors:
        answer.line(error["message"])
    return answer


def _anyway(options: Mapping[str, Any]) -> CommandAnswer:
    action = acts.start(BulkVerb.ANYWAY, options["job_ids"] or JobFilter(), by=who())
    for state in acts.run(action):
        action = state
    return CommandAnswer({"released": action.done}).line(result_of(action))


def _confirmed(waiting: int) -> bool:
    """Ask on a terminal; a script that does not say --yes is refused."""
    if not (sys.stdin and sys.stdin.isatty()):
        return False
    return input(f"Cancel {waiting:,} queued jobs? [y/N] ").strip().lower() in ("y", "yes")
