"""Where the workers' own environment is, as `.ci/setup diffsynth` makes it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.environment import WORKER_ENV

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / ".ci/constraints-diffsynth.txt"


def environment_folder() -> Path:
    """`STABLENEW_WORKER_ENV`, or one for each content of the constraints."""
    if WORKER_ENV:
        return Path(WORKER_ENV)
    mark = hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()[:12]
    return Path(os.environ.get("HOME", "/root")) / f".cache/stablenew/diffsynth-{mark}"


def interpreter() -> Path:
    return environment_folder() / "bin/python"


def is_there() -> bool:
    """Whether it was made to its end."""
    return (environment_folder() / ".complete").is_file() and interpreter().exists()
