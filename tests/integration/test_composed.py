"""A composed query gives what its queryset gives, however often and from whichever thread it is asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from jobs.composed import Composed
from jobs.models import QueueControl, Runner
from tests.factories import make_node, make_runner
from webui.models import Node, NodeState

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


def test_another_connection_of_the_same_thread_is_asked_itself() -> None:
    composed = Composed(QueueControl.objects.values_list("paused", flat=True))
    own = connections["default"]
    beside = connections["default"] = own.copy()
    try:
        assert list(composed) == [False]
    finally:
        beside.close()
        connections["default"] = own
    with CaptureQueriesContext(own) as asked:
        assert list(composed) == [False]
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["one", "it's 100 %", "%s", ""])
def test_values_of_any_spelling_find_what_their_queryset_finds(name: str) -> None:
    runner = make_runner()
    Node.objects.filter(pk=runner.node_id).update(state_reason=name)
    make_runner()
    found = Runner.objects.filter(node__state_reason=name, token_pending=False, pk__gte=0).order_by("pk")
    assert list(Composed(found)) == list(found)
    assert runner in found


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the embedded database alone plans anew")
def test_the_embedded_database_is_given_plain_values_as_part_of_the_statement() -> None:
    """A bound value that decides whether a partial index helps has it plan the statement anew at each run."""
    runner = make_runner()
    given: list[Any] = []

    def executed(execute: Any, sql: str, params: Any, *more: Any) -> Any:
        given.append((sql, params))
        return execute(sql, params, *more)

    with connection.execute_wrapper(executed):
        assert Composed(Runner.objects.filter(node__state=NodeState.READY, pk=runner.pk)).one() == runner
    [(sql, params)] = given
    assert not params
    assert f"'{NodeState.READY}'" in sql
