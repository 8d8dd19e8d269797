"""Tests with real transactions leave a database as it was; see `tests.emptying`."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from jobs.models import Job, QueueControl
from tests.emptying import SMALL_BYTES, Beginning
from tests.factories import make_job

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_a_test_made_is_gone_and_what_it_took_or_changed_is_back() -> None:
    beginning = Beginning()
    permissions = list(Permission.objects.order_by("pk").values())
    make_job()
    Permission.objects.all()[0].delete()
    Permission.objects.update(name="another")
    QueueControl.objects.update(paused=True)
    beginning.restore()
    assert list(Permission.objects.order_by("pk").values()) == permissions
    assert not Job.objects.exists()
    assert not QueueControl.objects.get().paused


@pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="only PostgreSQL keeps the place of deleted rows"
)
def test_a_table_that_has_grown_is_small_again() -> None:
    beginning = Beginning()
    Session.objects.bulk_create(
        Session(session_key=str(n), session_data="x" * 1_024, expire_date=timezone.now())
        for n in range(SMALL_BYTES // 1_024)
    )
    assert size_bytes() > SMALL_BYTES
    beginning.restore()
    assert size_bytes() == 0


def size_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s)", [Session._meta.db_table])
        return int(cursor.fetchone()[0])
