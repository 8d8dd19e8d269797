"""From a worker's configuration file to the command that starts it: in its own environment, with our package beside it.

The file is read by the worker's own reader, which needs neither Django nor the worker's libraries.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from webui.driver import StartPlan
from webui.drivers.diffsynth.worker.configuration import ConfigurationError, read_configuration

LAUNCHER: Final = Path(__file__).with_name("start_worker.py")


def start_of(file: Path, *, port: int, allow_modules: bool = False) -> StartPlan:
    """See `webui.driver.Driver.start_of`."""
    path = file.expanduser().absolute()
    problems: list[str] = []
    try:
        told = read_configuration(path, allow_modules=allow_modules)
    except ConfigurationError as exc:
        raise ValueError(f"{path}: {exc}") from exc
    python = path.parent / Path(told.python).expanduser()
    if not told.python:
        problems.append("python must name the interpreter of the worker's environment (its bin/python).")
    elif not (python.is_file() and os.access(python, os.X_OK)):
        problems.append(f"python names {python}, where no interpreter is.")
    if problems:
        raise ValueError(f"{path}: {' '.join(problems)}")
    modules = ("--allow-modules",) if allow_modules and (told.registry or told.shim) else ()
    # -P: this package has modules of its own that are called as libraries are.
    words = (
        str(python),
        "-P",
        str(LAUNCHER),
        "--config",
        str(path),
        "--port",
        str(port),
        "--with-parent",
    )
    return StartPlan(told.kind, told.card, (*words, *modules), str(path.parent))
