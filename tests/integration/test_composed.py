"""A composed query gives what its queryset gives, however often and from whichever thread it is asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from jobs.composed import Composed
from jobs.models import QueueControl, Runner
from tests.factories import make_node, make_runner

pytestmark = pytest.mark.django_db


def test_it_reads_anew_each_time_it_is_asked() -> None:
    runner = make_runner(make_node("one"))
    composed = Composed(Runner.objects.select_related("node").order_by("node__name"))
    assert [row.node.name for row in composed] == ["one"]
    make_runner(make_node("another"))
    runner.node.base_url = "http://127.0.0.1:9"
    runner.node.save()
    assert [(row.node.name, row.node.base_url == "http://127.0.0.1:9") for row in composed] == [
        ("another", False),
        ("one", True),
    ]


def test_values_come_as_tuples_and_no_row_is_what_the_queryset_says_of_it() -> None:
    composed = Composed(
        QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID).values_list("paused", "queued")
    )
    assert composed.one() == (False, 0)
    with pytest.raises(Runner.DoesNotExist):
        Composed(Runner.objects.filter(pk=0)).one()


def test_a_locking_query_may_be_asked_again_in_one_transaction() -> None:
    runner = make_runner()
    composed = Composed(Runner.objects.select_for_update())
    with transaction.atomic():
        assert composed.one() == runner
        assert composed.one() == runner


@pytest.mark.django_db(transaction=True)
def test_each_thread_asks_by_its_own_connection() -> None:
    runner = make_runner()
    composed = Composed(Runner.objects.all())

    def ask(_: int) -> int:
        try:
            return composed.one().pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(20))) == {runner.pk}
    connection.close()
    assert composed.one() == runner
