"""The command line of a simulated worker."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from webui.simulator import arguments
from webui.simulator.command_line import KINDS, PROGRAM
from webui.simulator.fault_rules import Rule
from webui.simulator.films import fault_kinds, start_faults, switchboard
from webui.simulator.films.worker import SimulatedWorkerSettings

TOKEN_VARIABLE = "STABLENEW_WORKER_TOKEN"  # noqa: S105 - the name of the variable, not a token
NAMES = {"i2v": "simulated-wan2.2-i2v", "edit": "simulated-qwen-edit"}
STEP_S = 0.25
LOAD_S = 0.4

EPILOG = """\
rules of --fault and --fault-file: KIND@WHICH or KIND~WORD
  WHICH     * (all), or numbers and ranges with commas between: 3 or 2-6 or 2,4,7-
            They count the jobs that the journal tells of, or its starts, over restarts too.
  ~WORD     the jobs whose prompt contains WORD
  KIND=S    seconds, for kinds that take them: slow=0.5@*
  once ...  before a rule: it acts once in the life of the journal; `once:LABEL ...` tells two alike apart

kinds that strike jobs:
{jobs}

kinds of lies (a result that is not what it says):
{lies}

kinds that strike starts:
{starts}

example: python -m webui.simulator --kind i2v --port 7870 --fault die-decode@2"""


def parse(words: list[str] | None) -> SimulatedWorkerSettings:
    """Exits with code 2 and one sentence where an argument is wrong."""
    parser = _parser()
    given = parser.parse_args(words)
    return SimulatedWorkerSettings(
        kind=given.kind,
        port=given.port,
        host=given.host,
        name=given.name or NAMES[given.kind],
        any_name=given.any_name,
        seconds_per_step=given.seconds_per_step,
        boot_seconds=given.boot_seconds,
        load_seconds=given.load_seconds,
        token=os.environ.get(TOKEN_VARIABLE, ""),
        journal=arguments.for_port(given.journal, given.port),
        faults=tuple(_fault(parser, given.kind, text) for text in given.fault or ()),
        fault_file=arguments.for_port(given.fault_file, given.port),
    )


def _fault(parser: argparse.ArgumentParser, kind: str, text: str) -> Rule:
    try:
        return switchboard.parse(kind, text)
    except ValueError as error:
        parser.error(f"argument --fault: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "A worker of films (--kind i2v) or of edits (--kind edit) for trying things out without a graphics\n"
            "card. It speaks the protocol of DiffSynth workers and draws: a film moves over the picture it was\n"
            "given, an edit tints it, and both say what they were made with. The same request gives the same\n"
            f"file. It asks for the token in {TOKEN_VARIABLE}, where there is one, and ends with its parent."
        ),
        epilog=EPILOG.format(
            jobs=_meanings({name: fault.meaning for name, fault in fault_kinds.BREAKING.items()}),
            lies=_meanings({name: fault.meaning for name, fault in fault_kinds.LYING.items()}),
            starts=_meanings({name: fault.meaning for name, fault in start_faults.START_FAULTS.items()}),
        ),
    )
    add = parser.add_argument
    add("--kind", choices=KINDS, required=True, help="what it makes: films (i2v) or edits (edit)")
    add(
        "--port",
        type=arguments.port,
        default=7870,
        help="TCP port; 0 takes a free one, printed at start (default 7870)",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--name", type=arguments.name, help="the name of its model")
    add("--any-name", action="store_true", help="have whatever model a request names")
    add(
        "--seconds-per-step",
        type=arguments.seconds,
        default=STEP_S,
        metavar="S",
        help=f"time of one step; encode and decode take one each (default {STEP_S:g})",
    )
    add(
        "--boot-seconds",
        type=arguments.seconds,
        default=0.0,
        metavar="S",
        help="time before the port opens (default 0)",
    )
    add(
        "--load-seconds",
        type=arguments.seconds,
        default=LOAD_S,
        metavar="S",
        help=f"time to load the model (default {LOAD_S:g})",
    )
    add(
        "--journal",
        type=Path,
        metavar="FILE",
        help="append one JSON line per event to this file; {port} in its name stands for the port",
    )
    add(
        "--fault",
        action="append",
        metavar="RULE",
        help="break a job or a start; repeatable, rules below",
    )
    add(
        "--fault-file",
        type=Path,
        metavar="FILE",
        help="more rules, one a line, read anew for every job and start; {port} as above",
    )
    return parser


def _meanings(meanings: dict[str, str]) -> str:
    return "\n".join(f"  {name:<24} {meaning}" for name, meaning in meanings.items())
