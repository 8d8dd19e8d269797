"""System checks of the site: the database's options, and what production must not run with."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from webui.private_files import is_open_to_others, is_writable_by_others

SUPPORTED = ("django.db.backends.sqlite3", "django.db.backends.postgresql")
PRAGMAS = ("journal_mode=wal", "journal_size_limit=67108864")
#: Shorter keys can be guessed.
MIN_SECRET_CHARS = 50


def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The database is one that the queue was proved on, and is opened as it must be."""
    database: dict[str, Any] = settings.DATABASES["default"]
    engine, options = database["ENGINE"], database.get("OPTIONS", {})
    found: list[CheckMessage] = []
    if engine not in SUPPORTED:
        hint = "Use SQLite (leave DATABASE_URL unset) or PostgreSQL (postgres://user:password@host/name)."
        return [Error(f"The database engine {engine} is not supported.", hint=hint, id="site.E001")]
    if database.get("ATOMIC_REQUESTS"):
        hint = "A page would hold the write lock while it is made. Leave ATOMIC_REQUESTS off."
        found.append(Error("ATOMIC_REQUESTS is on.", hint=hint, id="site.E002"))
    if engine != SUPPORTED[0]:
        if options.get("pool"):
            hint = "Connection pools break when the worker forks. Remove the option."
            found.append(Error("The database options ask for a connection pool.", hint=hint, id="site.E003"))
        return found
    if options.get("transaction_mode") != "IMMEDIATE":
        hint = "Without it a read-then-write transaction fails with 'database is locked'."
        found.append(
            Error("SQLite is not opened with transaction_mode IMMEDIATE.", hint=hint, id="site.E004")
        )
    command = str(options.get("init_command", "")).lower().replace(" ", "")
    if missing := [pragma for pragma in PRAGMAS if pragma not in command]:
        hint = "Pages could not read while the worker writes, or the log would grow without end."
        found.append(
            Error(f"SQLite is opened without PRAGMA {', '.join(missing)}.", hint=hint, id="site.E005")
        )
    if float(options.get("timeout", 0)) < 10:
        hint = "Writers wait for each other; under 10 s a busy queue loses writes. Use 20."
        found.append(Error("SQLite's timeout is too short.", hint=hint, id="site.E006"))
    return found


def check_private_files(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Database, key, logs and files of processes are this user's alone; older versions made them by the umask."""
    data_dir: Path = settings.STABLENEW_DATA_DIR
    found: list[CheckMessage] = []
    if opened := [str(path) for path in _private_paths(data_dir) if is_open_to_others(path)]:
        words = f"Other users of this machine can read what is private: {', '.join(opened)}."
        hint = f"They hold passwords, logins and words of prompts. Close them: chmod -R go-rwx {shlex.join(opened)}"
        found.append(CheckWarning(words, hint=hint, id="site.W003"))
    if is_writable_by_others(data_dir):
        words = f"Other users of this machine can change what is in the data folder {data_dir}."
        hint = (
            f"They could replace the database or the key. Close it: chmod go-w {shlex.quote(str(data_dir))}"
        )
        found.append(CheckWarning(words, hint=hint, id="site.W004"))
    return found


def _private_paths(data_dir: Path) -> Iterator[Path]:
    yield from (data_dir / "secret-key", settings.STABLENEW_LOG_DIR, settings.STABLENEW_PROCESS_DIR)
    database: dict[str, Any] = settings.DATABASES["default"]
    if database["ENGINE"] == SUPPORTED[0]:
        # With its side files and the copies that were made before upgrades.
        path = Path(database["NAME"])
        with suppress(OSError):
            yield from sorted(path.parent.glob(f"{glob.escape(path.stem)}[-.]*"))


def check_production(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What only `check --deploy` asks: hosts and secret of a site that strangers can reach."""
    found: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts that people use: STABLENEW_ALLOWED_HOSTS=images.example.org."
        found.append(CheckWarning("Every host name is allowed.", hint=hint, id="site.W001"))
    if len(settings.SECRET_KEY) < MIN_SECRET_CHARS:
        hint = "Unset STABLENEW_SECRET_KEY, and a good one is made in the data folder."
        found.append(CheckWarning("STABLENEW_SECRET_KEY is short.", hint=hint, id="site.W002"))
    return found
