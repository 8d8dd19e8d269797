"""The queue as lanes: the queued jobs of one kind that need the same things, each lane in the order of the queue.

A node that lacks something claims from the lanes that it can serve. Its way there leads from lane to lane and never
past the jobs of one, so that ninety thousand held jobs in front cost as much as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThanOrEqual, TupleLessThanOrEqual

from jobs.lifecycle import JobStatus
from jobs.models import Job, NodeLack

#: A node tries the next lane where other claims have locked all of one.
LANES_TRIED = 4

# Every step is one look into the index job_claim_by_needs, which nothing but the text of a query can promise: what
# PostgreSQL knows of the queue is often of a time when nothing waited, and then the way past every job looks as short.
# So a lane is the stretch of that index from its three values to its three values, in an order that no other index
# has, and `_ordered_by_index` forbids to sort instead.
_LANE = """(j.needs_id, j.kind, j.status) >= (sets.needs_id, %(kind)s, '{queued}')
  AND (j.needs_id, j.kind, j.status) <= (sets.needs_id, %(kind)s, '{queued}')"""
# The lane without needs: beside NULL nothing is less, more or the same.
_LANE_WITHOUT = """j.needs_id IS NULL
  AND (j.kind, j.status) >= (%(kind)s, '{queued}') AND (j.kind, j.status) <= (%(kind)s, '{queued}')"""
_ORDER = "j.needs_id, j.kind, j.status, j.priority, j.position, j.id"
_SETS = """WITH RECURSIVE sets (needs_id) AS (
  SELECT (
    SELECT j.needs_id FROM {jobs} j {by_index}
    WHERE j.finished_at IS NULL AND j.needs_id IS NOT NULL ORDER BY {order} LIMIT 1
  )
  UNION ALL
  SELECT (
    SELECT j.needs_id FROM {jobs} j {by_index}
    WHERE j.finished_at IS NULL AND j.needs_id > sets.needs_id ORDER BY {order} LIMIT 1
  ) FROM sets WHERE sets.needs_id IS NOT NULL
)"""
_EVERY = " SELECT needs_id FROM sets WHERE needs_id IS NOT NULL"
_HEAD = "SELECT j.id FROM {jobs} j {by_index} WHERE j.finished_at IS NULL AND {lane} ORDER BY {order} LIMIT 1"
# The turn of a head is asked by its key, one by one: a join the database could begin with all jobs. Materialized:
# else each mention of a head would look for it anew.
_FREE = """, heads (needs_id, id) AS MATERIALIZED (
  SELECT sets.needs_id, ({head_of_set}) FROM sets
  WHERE sets.needs_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM {lacks} lack WHERE lack.node_id = %(node)s AND lack.needs_id = sets.needs_id
  )
  UNION ALL
  SELECT NULL, ({head_without})
)
SELECT heads.needs_id FROM heads WHERE heads.id IS NOT NULL
ORDER BY
  (SELECT head.priority FROM {jobs} head WHERE head.id = heads.id),
  (SELECT head.position FROM {jobs} head WHERE head.id = heads.id),
  heads.id
LIMIT %(most)s
"""


def free_lanes(node_id: int, kind: str, most: int = LANES_TRIED) -> Sequence[int | None]:
    """The lanes of this kind in which something waits that the node does not lack, by their heads; ids of need sets.

    None is the lane of the jobs of which nobody knows what they need.
    """
    with _ordered_by_index() as cursor:
        cursor.execute(free_lanes_sql(), {"node": node_id, "kind": kind, "most": most})
        return [needs_id for (needs_id,) in cursor.fetchall()]


def head_of_lane(kind: str, needs_id: int | None) -> QuerySet[Job]:
    """The first queued job of this kind with these needs (None: not known which), with its record, by its own index."""
    lane: dict[str, int | str] = {"kind": kind, "status": JobStatus.QUEUED.value}
    if needs_id is not None:
        lane = {"needs_id": needs_id, **lane}
    queued = Job.objects.filter(finished_at__isnull=True)
    if needs_id is None:
        queued = queued.filter(needs__isnull=True)
    if connection.vendor == "postgresql":
        columns, values = Tuple(*map(F, lane)), tuple(lane.values())
        queued = queued.filter(
            TupleGreaterThanOrEqual(columns, values), TupleLessThanOrEqual(columns, values)
        )
    else:
        # SQLite needs no stretch for its right index, and Django cannot tell it of one.
        queued = queued.filter(**lane)
    return queued.order_by("needs_id", "kind", "status", "priority", "position", "id").select_related(
        "record"
    )[:1]


def waiting_sets() -> list[int]:
    """Every set of needs that a job has which has not ended."""
    with _ordered_by_index() as cursor:
        cursor.execute(_filled(_SETS + _EVERY))
        return [needs_id for (needs_id,) in cursor.fetchall()]


@contextmanager
def _ordered_by_index() -> Iterator[CursorWrapper]:
    """A cursor whose database walks an index for every order, up to the end of the transaction around it.

    The claim's own look at the head of a lane comes after, in the same transaction.
    """
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            yield cursor
        return
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        # What is forbidden only counts as very dear, for which compiling the query would look worth its time.
        cursor.execute("SET LOCAL enable_sort = off; SET LOCAL jit = off")
        yield cursor


@cache
def free_lanes_sql() -> str:
    head_of_set = _filled(_HEAD, lane=_filled(_LANE))
    head_without = _filled(_HEAD, lane=_filled(_LANE_WITHOUT))
    return _filled(_SETS + _FREE, head_of_set=head_of_set, head_without=head_without)


def _filled(sql: str, **parts: str) -> str:
    # SQLite builds an index of its own for every look where its figures are older than the queue.
    by_index = "INDEXED BY job_claim_by_needs" if connection.vendor == "sqlite" else ""
    return sql.format(
        jobs=Job._meta.db_table,
        lacks=NodeLack._meta.db_table,
        queued=JobStatus.QUEUED.value,
        by_index=by_index,
        order=_ORDER,
        **parts,
    )
