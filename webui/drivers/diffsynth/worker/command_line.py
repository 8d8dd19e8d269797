"""The command line of a worker."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOKEN_VARIABLE: Final = "STABLENEW_WORKER_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class WorkerArguments:
    """`port` 0 takes a free one. With `with_parent` the worker ends when the process that started it is gone."""

    config: Path
    host: str
    port: int
    allow_modules: bool
    with_parent: bool


def parse_arguments(arguments: Sequence[str]) -> WorkerArguments:
    parser = argparse.ArgumentParser(
        prog="python -m webui.drivers.diffsynth.worker",
        description="Draws films or edits with DiffSynth-Studio, one job at a time, for those who have its token.",
        epilog=f"The environment variable {TOKEN_VARIABLE} holds the token; without it the worker does not start.",
    )
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="its configuration, JSON or TOML"
    )
    parser.add_argument("--port", required=True, type=_port, metavar="N", help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument(
        "--allow-modules", action="store_true", help="let the configuration name Python modules to run"
    )
    parser.add_argument(
        "--with-parent", action="store_true", help="end when the process that started it is gone"
    )
    given = parser.parse_args(arguments)
    return WorkerArguments(given.config, given.host, given.port, given.allow_modules, given.with_parent)


def _port(word: str) -> int:
    port = int(word)
    if not 0 <= port <= 65_535:
        raise ValueError(word)
    return port
