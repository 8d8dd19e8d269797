"""What `node add` and `node change` are asked for: by options, or by the configuration file that takes their place."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from webui.driver import driver_of
from webui.http import ports
from webui.kinds import WorkKind
from webui.models import Node
from webui.nodes.spec import NodeRefusedError, address_problem, usual_driver
from webui.words import listed

INSTEAD = ("command", "kind", "card")
"""Options whose place a configuration file takes."""


@dataclass(frozen=True, slots=True)
class NodeAsked:
    """An empty `driver` is the usual one of the kind; without a `start_command` somebody else keeps it running."""

    start_command: str
    working_directory: str
    kind: str
    card: str
    driver: str


def add_file_options(verb: CommandParser) -> None:
    """Of a worker that we start by its configuration file."""
    verb.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration file of a DiffSynth worker that we start, JSON or TOML, instead of a command, --kind "
        "and --card. It names what the worker makes, its card and its Python",
    )
    verb.add_argument(
        "--allow-modules",
        action="store_true",
        help="with --config: the file may name Python modules that the worker runs",
    )
    verb.add_argument("--folder", default="", help="working folder of what we start by a command or a file")


def node_asked(options: Mapping[str, Any]) -> NodeAsked:
    """Of a new node. Raises NodeRefusedError."""
    file: Path | None = options["config"]
    if file is not None:
        if problem := address_problem(options["url"], options["name"]):
            raise NodeRefusedError(problem, "base_url")
        driver = options["driver"] or usual_driver(WorkKind.I2V)
        return _by_file(file, options, base_url=options["url"], driver=driver)
    _require_no_file_options(options, "allow_modules")
    return NodeAsked(
        start_command=options["command"],
        working_directory=options["folder"],
        kind=options["kind"] or WorkKind.IMAGE.value,
        card=options["card"],
        driver=options["driver"] or "",
    )


def change_asked(node: Node, options: Mapping[str, Any]) -> NodeAsked | None:
    """What the file of a change says; None where none is given. Raises NodeRefusedError."""
    file: Path | None = options["config"]
    if file is not None:
        return _by_file(file, options, base_url=node.base_url, driver=node.driver)
    _require_no_file_options(options, "allow_modules", "folder")
    return None


def _require_no_file_options(options: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if options[name]:
            option = f"--{name.replace('_', '-')}"
            raise NodeRefusedError(f"{option} is about a configuration file. Give --config FILE, too.")


def _by_file(file: Path, options: Mapping[str, Any], *, base_url: str, driver: str) -> NodeAsked:
    if double := [f"--{name}" for name in INSTEAD if options.get(name)]:
        raise NodeRefusedError(
            f"The configuration file takes the place of {listed(double)}. Leave out one or the other."
        )
    port = ports.endpoint(base_url)[1]
    try:
        plan = driver_of(driver).start_of(file, port=port, allow_modules=options["allow_modules"])
    except ValueError as exc:
        raise NodeRefusedError(str(exc), "config") from exc
    return NodeAsked(
        start_command=shlex.join(plan.command),
        working_directory=options["folder"] or plan.working_directory,
        kind=plan.kind,
        card=plan.card,
        driver=driver,
    )
