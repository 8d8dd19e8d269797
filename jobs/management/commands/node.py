"""`manage.py node`: the WebUI servers: see them, add one, start, stop and restart it, read its output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from jobs.cli import AnsweringCommand, CommandAnswer, CommandRefused, node_named, positive_number, who
from jobs.clock import database_now
from jobs.errors import NodeNotAsAskedError
from jobs.management.node_act import NodeAct, how_restarted, let_it_read
from jobs.management.node_asked import add_file_options, change_asked, node_asked
from jobs.management.node_catalog import tell_catalog
from jobs.queue import control, fitness
from jobs.queue.hold_words import holds_of
from jobs.queue.holds import facts_of, occupants, runner_of
from jobs.queue.trouble import troubles_of
from jobs.supervising.remove_node import remove_node
from webui.driver import driver_names
from webui.evidence.redaction import redact_text, secrets_of
from webui.keeper.restart_means import restart_means
from webui.kinds import WorkKind
from webui.models import Node
from webui.nodes.adding import add_node
from webui.nodes.change import change_node
from webui.nodes.spec import NodeRefusedError
from webui.processes.tail_capture import get_tail_logs

CARD = "its graphics card: nodes that name the same one never run jobs at the same time"


class Command(AnsweringCommand):
    help = (
        "The servers that make pictures (WebUIs), films and edits (workers), called nodes. list shows them and why "
        "they are in their state; add makes one known, change and remove alter that; start, stop and restart act on "
        "one and wait for the result; resume lets one whose breaker is open try a job now; logs shows the last lines "
        "of its output; catalog tells what its server has."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.epilog = (
            "examples: node add gpu2 http://192.168.1.20:7860 --auth user:password; "
            "node add films http://127.0.0.1:7870 --config films.toml"
        )
        verbs = parser.add_subparsers(
            dest="verb",
            required=True,
            metavar="list|add|change|remove|start|stop|restart|resume|logs|catalog",
        )
        super().add_arguments(verbs.add_parser("list", help="every node with its address, state and reason"))
        add = verbs.add_parser("add", help="make a server known")
        add.add_argument("name", help="letters, digits, - and _")
        add.add_argument("url", help="where it listens, like http://127.0.0.1:7860")
        add.add_argument(
            "--command",
            default="",
            help="start command; with it the WebUI is ours to start, watch and restart, without it somebody "
            "else keeps it running",
        )
        add_file_options(add)
        add.add_argument(
            "--restart-command",
            default="",
            metavar="COMMAND",
            help="for a server that somebody else keeps running: what restarts it, like 'systemctl restart webui'; "
            "it must return. Without it: its API where that offers a restart, else it is only waited for",
        )
        add.add_argument(
            "--kind",
            choices=WorkKind.values,
            help=f"what it takes (default: {WorkKind.IMAGE.value})",
        )
        add.add_argument("--card", default="", metavar="NAME", help=f"{CARD}; without it, one of its own")
        add.add_argument(
            "--driver",
            choices=driver_names(),
            help="how it is spoken to (default: the usual one for what it takes)",
        )
        add.add_argument(
            "--auth",
            default="",
            metavar="USER:PASSWORD",
            help="as in the WebUI's --api-auth; of a DiffSynth worker that somebody else starts, its token",
        )
        super().add_arguments(add)
        change = verbs.add_parser(
            "change",
            help="what a node takes, and where an attached server is; what is not given stays. With --config a "
            "running worker is restarted after its job",
        )
        change.add_argument("name")
        change.add_argument(
            "--url", metavar="URL", help="where it listens now; needs --auth again if it has one"
        )
        change.add_argument(
            "--auth", metavar="USER:PASSWORD", help="as in its --api-auth, or its token; '' for none"
        )
        change.add_argument("--restart-command", metavar="COMMAND", help="what restarts it; '' for none")
        change.add_argument("--kind", choices=WorkKind.values, help="what it takes")
        change.add_argument("--card", metavar="NAME", help=f"{CARD}; '' for one of its own")
        change.add_argument("--driver", choices=driver_names(), help="how an attached server is spoken to")
        add_file_options(change)
        super().add_arguments(change)
        remove = verbs.add_parser(
            "remove", help="forget a node that never ran a job; its server is not touched"
        )
        remove.add_argument("name")
        super().add_arguments(remove)
        for verb, words in (
            ("start", "start it, or go on using it, and wait until it is ready"),
            ("stop", "stop it; it stays stopped until somebody starts it"),
            ("restart", "stop and start it after its running job, and wait until it is ready"),
        ):
            one = verbs.add_parser(verb, help=words)
            one.add_argument("name")
            one.add_argument(
                "--timeout",
                type=positive_number,
                default=int(settings.STABLENEW_READY_TIMEOUT_S),
                metavar="S",
                help="seconds to wait for the result (default: %(default)s)",
            )
            if verb == "restart":
                one.add_argument(
                    "--now",
                    action="store_true",
                    help="at once: its running job is interrupted and tried again",
                )
            super().add_arguments(one)
        resume = verbs.add_parser(
            "resume",
            help="its breaker is open after crashes: try one job now; or try a held checkpoint again",
        )
        resume.add_argument("name")
        resume.add_argument(
            "--checkpoint",
            default="",
            metavar="NAME",
            help="let jobs with this held checkpoint be tried there again",
        )
        super().add_arguments(resume)
        logs = verbs.add_parser("logs", help="the last lines that its newest start wrote")
        logs.add_argument("name")
        logs.add_argument("--lines", type=positive_number, default=200, help="default: %(default)s")
        super().add_arguments(logs)
        catalog = verbs.add_parser("catalog", help="what its server has, and by which names")
        catalog.add_argument("name")
        catalog.add_argument(
            "--refresh", action="store_true", help="have it look at its disk first, as soon as it is idle"
        )
        catalog.add_argument(
            "--timeout",
            type=positive_number,
            default=60,
            metavar="S",
            help="seconds to wait for that (default: %(default)s)",
        )
        super().add_arguments(catalog)

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        match options["verb"]:
            case "list":
                return _list()
            case "add":
                return _add(options)
            case "change":
                return _change(node_named(options["name"]), options)
            case "remove":
                return _remove(node_named(options["name"]))
            case "resume":
                return _resume(node_named(options["name"]), options["checkpoint"])
            case "logs":
                return _logs(node_named(options["name"]), options["lines"])
            case "catalog":
                node = node_named(options["name"])
                return tell_catalog(node, refresh=options["refresh"], timeout_s=options["timeout"])
            case verb:
                return _act(node_named(options["name"]), verb, options)


def _document(node: Node) -> dict[str, Any]:
    now, runner = database_now(), runner_of(node)
    facts = facts_of(node, runner, now=now, running=occupants())
    return {
        "name": node.name,
        "base_url": node.base_url,
        "driver": node.driver,
        "kind": node.kind,
        "card": node.card,
        "state": node.state,
        "reason": node.state_reason,
        "since": node.state_since,
        "generation": node.generation,
        "restarts": node.restarts,
        "failed_starts": node.failed_starts,
        "last_ready_at": node.last_ready_at,
        "simulated": node.simulated,
        "managed": node.managed,
        "adopted_foreign": node.adopted_foreign,
        "restart_means": restart_means(node),
        "pid": node.pid,
        "checkpoint": node.checkpoint,
        "wish": node.wish,
        "wish_after_job": node.wish_after_job,
        "breaker": facts.breaker.as_json(),
        "held_checkpoints": [trouble.checkpoint for trouble in troubles_of(node.pk) if trouble.held],
        "holds": [hold.as_json() for hold in holds_of(facts, now)],
    }


def _list() -> CommandAnswer:
    nodes = list(Node.objects.select_related("runner").order_by("name"))
    documents = [_document(node) for node in nodes]
    answer = CommandAnswer({"nodes": documents})
    if not nodes:
        return answer.line("There is no node: `up` makes one, `node add NAME URL` another.")
    rows = [
        (
            node.name + (" (simulated)" if node.simulated else ""),
            node.base_url,
            node.kind,
            node.card,
            node.state,
            node.generation,
            "somebody else" if not node.managed or node.adopted_foreign else "us",
            restart_means(node),
            " ".join(hold["text"] for hold in document["holds"]) or node.state_reason,
        )
        for node, document in zip(nodes, documents, strict=True)
    ]
    return answer.table(
        "",
        ("node", "address", "takes", "card", "state", "generation", "started by", "restarted", "why"),
        rows,
    )


def _add(options: Mapping[str, Any]) -> CommandAnswer:
    try:
        asked = node_asked(options)
        node = add_node(
            options["name"],
            options["url"],
            start_command=asked.start_command,
            working_directory=asked.working_directory,
            api_auth=options["auth"],
            restart_command=options["restart_command"],
            kind=asked.kind,
            card=asked.card,
            driver=asked.driver,
        )
    except NodeRefusedError as exc:
        raise CommandRefused.saying(str(exc), "node_refused") from exc
    answer = CommandAnswer(_document(node)).line(f"Node {node.name} is added, at {node.base_url}.")
    answer.line(f"It is restarted {restart_means(node)}.")
    return answer.line(f"`up` runs it, or `run_node {node.name}` does.")


def _change(node: Node, options: Mapping[str, Any]) -> CommandAnswer:
    try:
        asked = change_asked(node, options)
        changed = change_node(
            node,
            base_url=options["url"],
            api_auth=options["auth"],
            restart_command=options["restart_command"],
            kind=asked.kind if asked else options["kind"],
            card=asked.card if asked else options["card"],
            driver=options["driver"],
            start_command=asked.start_command if asked else None,
            working_directory=asked.working_directory if asked else None,
        )
    except NodeRefusedError as exc:
        raise CommandRefused.saying(str(exc), "node_refused") from exc
    read = let_it_read(changed) if asked else how_restarted(changed)
    answer = CommandAnswer(_document(changed)).line(f"Node {node.name} is at {changed.base_url}.")
    card = f"the card {changed.card}" if changed.card else "a card of its own"
    answer.line(f"It takes {WorkKind(changed.kind).label.lower()}, on {card}.")
    return answer.line(read)


def _remove(node: Node) -> CommandAnswer:
    document = _document(node)
    remove_node(node, by=who())
    return CommandAnswer(document).line(f"Node {node.name} is removed.")


def _resume(node: Node, checkpoint: str) -> CommandAnswer:
    if checkpoint:
        return _release(node, checkpoint)
    resumed = control.resume_node(node, by=who())
    node.refresh_from_db()
    answer = CommandAnswer({**_document(node), "changed": resumed})
    if not resumed:
        return answer.line(f"The breaker of node {node.name} is closed: it takes jobs as usual.")
    return answer.line(f"Node {node.name} tries one job now. If it completes, the others follow.")


def _release(node: Node, checkpoint: str) -> CommandAnswer:
    known = [trouble.checkpoint for trouble in troubles_of(node.pk)]
    names = fitness.release_checkpoint(node, checkpoint, by=who())
    answer = CommandAnswer({**_document(node), "changed": bool(names)})
    if names:
        return answer.line(f"Node {node.name} tries {checkpoint} again.")
    others = f" Counted there: {', '.join(known)}." if known else ""
    return answer.line(f"Node {node.name} holds no checkpoint {checkpoint}.{others}")


def _act(node: Node, verb: str, options: Mapping[str, Any]) -> CommandAnswer:
    after_job = verb == "restart" and not options["now"]
    act = NodeAct(node, verb, after_job=after_job, timeout_s=options["timeout"], quiet=options["json"])
    try:
        said = act.run()
    except NodeNotAsAskedError as exc:
        raise CommandRefused([{"code": exc.code, "message": str(exc)}], _document(node)) from exc
    return CommandAnswer(_document(node)).line(said)


def _logs(node: Node, lines: int) -> CommandAnswer:
    if not node.log_directory:
        raise CommandRefused.saying(
            f"We have no output of node {node.name}: it was not started by us. Look where it runs.", "no_logs"
        )
    # As the node's page shows them: a WebUI tells its own command line, and with it its passwords.
    secrets = secrets_of(node_id=node.pk)
    tails = {stream: redact_text(tail, secrets) for stream, tail in get_tail_logs(node, lines).items()}
    answer = CommandAnswer({"name": node.name, "log_directory": node.log_directory, **tails})
    for stream, tail in tails.items():
        answer.line(f"==> {node.log_directory}/{stream}.log <==").line(tail or "(nothing)")
    return answer
