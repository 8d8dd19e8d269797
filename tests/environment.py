"""Loaded before the settings (`-p tests.environment`): tests use a temporary data folder, never the user's."""

from __future__ import annotations

import os
import tempfile

_DATA = tempfile.TemporaryDirectory(prefix="stablenew-tests-")

WORKER_ENV = os.environ.get("STABLENEW_WORKER_ENV", "")
"""Where the workers' own environment is, if somebody keeps it elsewhere; `tests.diffsynth` alone uses it."""

for name in list(os.environ):
    if name.startswith("STABLENEW_"):
        del os.environ[name]
os.environ["STABLENEW_DATA_DIR"] = _DATA.name
# Hundreds of processes are started: each is to find its modules compiled by the one before.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# `up` and `serve` make it; without it every test client warns.
os.mkdir(os.path.join(_DATA.name, "static"))


def pytest_report_header() -> list[str]:
    postgres = os.environ.get("DATABASE_URL", "").startswith("postgres")
    return [
        "database: PostgreSQL"
        if postgres
        else "database: SQLite (PostgreSQL is not tested; set DATABASE_URL=postgres://... to do so)"
    ]
