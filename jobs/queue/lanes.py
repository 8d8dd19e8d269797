"""The queue as lanes: the queued jobs of one kind that need the same things, each lane in the order of the queue.

A node that lacks something claims from the lanes that it can serve. Its way there leads from lane to lane and never
past the jobs of one, so that ninety thousand held jobs in front cost as much as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from django.db import connection

from jobs.lifecycle import JobStatus
from jobs.models import Job, NodeLack

#: A node tries the next lane where other claims have locked all of one.
LANES_TRIED = 4

# Every step is one look into the index job_claim_by_needs, whose condition each part names. By its index's first
# column NULL is a lane of its own, which PostgreSQL only believes where the order says so too.
_SETS = """
WITH RECURSIVE sets (needs_id) AS (
  SELECT (SELECT MIN(j.needs_id) FROM {jobs} j {by_index} WHERE j.finished_at IS NULL)
  UNION ALL
  SELECT (
    SELECT MIN(j.needs_id) FROM {jobs} j {by_index}
    WHERE j.finished_at IS NULL AND j.needs_id > sets.needs_id
  ) FROM sets WHERE sets.needs_id IS NOT NULL
)
"""
_EVERY = "SELECT needs_id FROM sets WHERE needs_id IS NOT NULL"
_HEAD = """
SELECT j.id FROM {jobs} j {by_index}
WHERE j.finished_at IS NULL AND j.needs_id {lane} AND j.kind = %(kind)s AND j.status = '{queued}'
ORDER BY j.needs_id, j.priority, j.position, j.id LIMIT 1
"""
_FREE = """
SELECT head.needs_id FROM (
  SELECT ({head_of_set}) AS head_id FROM sets
  WHERE sets.needs_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM {lacks} lack WHERE lack.node_id = %(node)s AND lack.needs_id = sets.needs_id
  )
  UNION ALL
  SELECT ({head_without}) AS head_id
) heads CROSS JOIN {jobs} head WHERE head.id = heads.head_id
ORDER BY head.priority, head.position, head.id LIMIT %(most)s
"""


def free_lanes(node_id: int, kind: str, most: int = LANES_TRIED) -> Sequence[int | None]:
    """The lanes of this kind in which something waits that the node does not lack, by their heads; ids of need sets.

    None is the lane of the jobs of which nobody knows what they need.
    """
    with connection.cursor() as cursor:
        cursor.execute(free_lanes_sql(), {"node": node_id, "kind": kind, "most": most})
        return [needs_id for (needs_id,) in cursor.fetchall()]


def waiting_sets() -> list[int]:
    """Every set of needs that a job has which has not ended."""
    with connection.cursor() as cursor:
        cursor.execute(_filled(_SETS + _EVERY))
        return [needs_id for (needs_id,) in cursor.fetchall()]


@cache
def free_lanes_sql() -> str:
    head_of_set = _filled(_HEAD, lane="= sets.needs_id")
    head_without = _filled(_HEAD, lane="IS NULL")
    return _filled(_SETS + _FREE, head_of_set=head_of_set, head_without=head_without)


def _filled(sql: str, **parts: str) -> str:
    # SQLite builds an index of its own for every look where its figures are older than the queue.
    by_index = "INDEXED BY job_claim_by_needs" if connection.vendor == "sqlite" else ""
    return sql.format(
        jobs=Job._meta.db_table,
        lacks=NodeLack._meta.db_table,
        queued=JobStatus.QUEUED.value,
        by_index=by_index,
        **parts,
    )
