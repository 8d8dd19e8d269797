"""Errors of PostgreSQL as Django passes them on."""

from __future__ import annotations

from collections.abc import Callable

from django.db import Error, InternalError
from psycopg import errors


def internal(sqlstate: str) -> Callable[[str], Error]:
    """What the driver calls an internal error: only its SQLSTATE says what it is."""

    def error(words: str) -> Error:
        raised = InternalError(words)
        raised.__cause__ = errors.lookup(sqlstate)(words)
        return raised

    return error
