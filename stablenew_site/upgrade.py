"""Bring the database up to date and tell each step; the copy of an embedded one is made in `database_copy`."""

from __future__ import annotations

from django.core.management import call_command
from django.core.management.base import OutputWrapper
from django.core.management.commands import migrate
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor


def upgrade(stdout: OutputWrapper) -> None:
    """Apply every migration that the database lacks. Raises `CommandError` where no copy can be kept before."""
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if executor.loader.applied_migrations:
        command = _Migrate(told=len(pending))
    else:
        stdout.write("The database is new: its tables are made.")
        stdout.flush()
        command = _Migrate(told=0)
    call_command(command, interactive=False, verbosity=0, stdout=stdout)


class _Migrate(migrate.Command):
    """Django's own command, but it tells of each of `told` migrations in a line."""

    def __init__(self, told: int) -> None:
        super().__init__()
        self._told = told
        self._begun = 0

    def migration_progress_callback(
        self, action: str, migration: Migration | None = None, fake: bool = False
    ) -> None:
        if action == "apply_start" and self._told:
            self._begun += 1
            self.stdout.write(f"Upgrading the database: {migration} ({self._begun} of {self._told})")
            self.stdout.flush()
