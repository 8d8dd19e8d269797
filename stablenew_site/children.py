"""How StableNew starts itself again: the command line and the environment of its own processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from django.conf import settings

from webui.typed_command import PROGRAM_VARIABLE, program

#: Variables that configure an installation.
CONFIGURING = ("STABLENEW_", "DATABASE_URL", "Q_CLUSTER")


def command_line(*words: str) -> list[str]:
    """One of our commands as a process. With -P the current folder, perhaps that of a WebUI, hides no module."""
    return [sys.executable, "-P", "-m", "stablenew_site", *words]


def environment() -> dict[str, str]:
    """Of a process that belongs to this installation and runs the same code, in whatever folder it stands."""
    return _with_our_code(os.environ.copy(), settings.STABLENEW_DATA_DIR)


def environment_of_another(folder: Path) -> dict[str, str]:
    """Of an installation in this folder with default settings, whatever is set outside."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(CONFIGURING)}
    return {**_with_our_code(given, folder), "STABLENEW_LOG_LEVEL": "WARNING"}


def _with_our_code(given: dict[str, str], data_dir: Path) -> dict[str, str]:
    given |= {PROGRAM_VARIABLE: program(), "STABLENEW_DATA_DIR": str(data_dir)}
    if settings.IN_CHECKOUT:
        # It need not be installed, or another one may be.
        folders = [str(settings.BASE_DIR), *given.get("PYTHONPATH", "").split(os.pathsep)]
        given["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, folders)))
    return given
