"""The database's clock: leases and heartbeats of several hosts are compared on it, never on a host's own."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """The time of the database server; with an embedded database that is this machine's clock."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        # Not CURRENT_TIMESTAMP: that stands still within a transaction.
        cursor.execute("SELECT clock_timestamp()")
        row: tuple[datetime] = cursor.fetchone()
    return row[0]
