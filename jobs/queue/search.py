"""Jobs that match a filter, in the order of a list, a bounded step at a time. Pages and bulk acts walk with it.

What a list's own index answers (`base`) is exact and quick at any size. The rest is looked for row by row in the
list's order, and one step looks at no more than a fixed number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import (
    BigIntegerField,
    BooleanField,
    DateTimeField,
    F,
    Field,
    Func,
    Q,
    QuerySet,
    TextField,
    Value,
)
from django.db.models.functions import Concat
from django.db.models.lookups import Exact

from jobs.lifecycle import TERMINAL, JobStatus
from jobs.models import Job
from jobs.queue.filters import JobFilter
from jobs.queue.positions import waiting

#: Rows that one step looks at for a column without an index; and for words of the prompt, which stand in the record.
SEARCH_ROWS = 10_000
SEARCH_PROMPTS = 1_500
#: Longest part of a page key: no number that a database would refuse.
KEY_CHARS = 18


@dataclass(frozen=True, slots=True)
class JobOrder:
    """Columns that a list is sorted by, all one way, so that a row's values are the key to what comes after."""

    columns: tuple[str, ...]
    descending: bool = False

    def sort(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        return rows.order_by(*(f"-{name}" if self.descending else name for name in self.columns))

    def key(self, job: Job) -> str:
        return self.write(tuple(getattr(job, name) for name in self.columns))

    def write(self, values: tuple[Any, ...]) -> str:
        return "~".join(str(_microseconds(v) if isinstance(v, datetime) else v) for v in values)

    def read(self, text: str) -> tuple[Any, ...] | None:
        """The values of a key; one that nobody made counts as none, which means the first page."""
        parts = text.split("~")
        if len(parts) != len(self.columns) or any(len(part) > KEY_CHARS for part in parts):
            return None
        try:
            return tuple(_KINDS[name](part) for name, part in zip(self.columns, parts, strict=True))
        except (ValueError, OverflowError):
            return None

    def after(self, key: str) -> Q:
        return self._compared(key, "<" if self.descending else ">")

    def before(self, key: str) -> Q:
        return self._compared(key, ">" if self.descending else "<")

    def up_to(self, key: str) -> Q:
        return self._compared(key, ">=" if self.descending else "<=")

    def _compared(self, key: str, operator: str) -> Q:
        values = self.read(key)
        if values is None:
            return Q()
        row = _Row(*(F(name) for name in self.columns))
        limit = _Row(*(Value(v, output_field=_field(v)) for v in values))
        return Q(
            Func(
                row,
                limit,
                arg_joiner=f" {operator} ",
                template="%(expressions)s",
                output_field=BooleanField(),
            )
        )


IN_QUEUE = JobOrder(("priority", "position", "id"))
LATEST_END = JobOrder(("finished_at", "id"), descending=True)
EARLIEST_END = JobOrder(("finished_at", "id"))
NEWEST = JobOrder(("id",), descending=True)


@dataclass(frozen=True, slots=True)
class Search:
    """The jobs of a list (`base`) and what else they must match (`rest`, looked for among at most `rows` a step)."""

    base: QuerySet[Job]
    rest: Q = Q()  # noqa: RUF009 - never changed
    rows: int = SEARCH_ROWS
    in_prompts: str = ""

    def matching(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        """Those of `rows`, which are of `base`, that match the rest."""
        rows = rows.filter(self.rest)
        return _with_words(rows, self.in_prompts) if self.in_prompts else rows

    @property
    def is_exact(self) -> bool:
        """An index answers all of it."""
        return not self.rest and not self.in_prompts


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """What one step found; it goes on at `after`, empty at the end. `searched`: rows looked at, if that ended it."""

    jobs: tuple[Job, ...]
    after: str
    searched: int | None = None


def search_queue(chosen: JobFilter) -> Search:
    """Waiting jobs; nothing that only a finished job has can match."""
    rows = waiting()
    if chosen.status not in ("", JobStatus.QUEUED) or chosen.cause or chosen.truth or chosen.attention:
        return Search(rows.none())
    if chosen.pack:
        return _search(rows.filter(pack_name=chosen.pack), _equal("kind", chosen.kind), chosen)
    if chosen.kind:
        # As a claim asks: its index has all of one kind, in this order.
        rows = Job.objects.filter(status=JobStatus.QUEUED, kind=chosen.kind)
    return _search(rows, Q(), chosen)


def search_finished(chosen: JobFilter) -> Search:
    """Jobs that have ended, whatever the end."""
    rows, rest = Job.objects.filter(finished_at__isnull=False), Q()
    failed_only = bool(chosen.attention or chosen.cause)
    ends = (JobStatus.FAILED,) if failed_only else TERMINAL
    if chosen.status and chosen.status not in ends:
        return Search(rows.none())
    if chosen.attention:
        # Only jobs that have failed need attention; to say so would tempt the planner to a longer index.
        rows = Job.objects.filter(needs_attention=True)
        rows = rows.filter(error_code=chosen.cause) if chosen.cause else rows
        rest &= _equal("truth", chosen.truth)
    elif chosen.truth:
        # Few, as a rule: what else they must match is looked for among them.
        rows = rows.filter(truth=chosen.truth)
        rest = (
            _equal("status", chosen.status)
            & _equal("pack_name", chosen.pack)
            & _equal("error_code", chosen.cause)
        )
    elif chosen.cause:
        rows, rest = rows.filter(status=JobStatus.FAILED), _equal("error_code", chosen.cause)
    elif chosen.pack:
        rows, rest = rows.filter(pack_name=chosen.pack), _equal("status", chosen.status)
    elif chosen.kind:
        # The few films among many pictures: row by row the first would be pages away.
        rows, rest = rows.filter(kind=chosen.kind), _equal("status", chosen.status)
    elif chosen.status:
        rows = rows.filter(status=chosen.status)
    if failed_only:
        rest &= _equal("pack_name", chosen.pack)
    if failed_only or chosen.truth or chosen.pack:
        rest &= _equal("kind", chosen.kind)
    return _search(rows, rest, chosen)


def step(search: Search, order: JobOrder, after: str, size: int) -> FoundJobs:
    """At most `size` matching jobs after a key, with their records. Two queries at most."""
    rows = search.base.filter(order.after(after))
    end = ""
    if not search.is_exact:
        # The key of the last row to look at: the index alone finds it, and the next query ends there.
        last = order.sort(rows).values_list(*order.columns)[search.rows - 1 : search.rows].first()
        if last is not None:
            end = order.write(last)
            rows = rows.filter(order.up_to(end))
    jobs = list(order.sort(search.matching(rows)).select_related("record")[: size + 1])
    if len(jobs) > size:
        return FoundJobs(tuple(jobs[:size]), order.key(jobs[size - 1]))
    return FoundJobs(tuple(jobs), end, search.rows if end else None)


def count_all(search: Search) -> int:
    """How many jobs match."""
    return search.matching(search.base).count()


def _search(base: QuerySet[Job], rest: Q, chosen: JobFilter) -> Search:
    if chosen.checkpoint:
        rest &= Q(checkpoint__icontains=chosen.checkpoint)
    rest &= _equal("queued_by", chosen.user)
    return Search(base, rest, SEARCH_PROMPTS if chosen.text else SEARCH_ROWS, chosen.text)


def _equal(column: str, value: str) -> Q:
    """Nothing where `value` is empty. Written so that no planner leaves the list's index for one of this column."""
    if not value:
        return Q()
    return Q(Exact(Concat(F(column), Value("")), value))


def _with_words(rows: QuerySet[Job], text: str) -> QuerySet[Job]:
    """First the record as it is written, which is quick and rules out most; then the two prompts alone."""
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    prompts = {
        name: _Text("record__canonical_json", name=name) for name in ("positive_prompt", "negative_prompt")
    }
    rows = rows.filter(record__canonical_json__icontains=written).alias(**prompts)
    return rows.filter(Q(positive_prompt__icontains=text) | Q(negative_prompt__icontains=text))


class _Row(Func):
    """Several values as one, which databases compare from left to right."""

    template = "(%(expressions)s)"
    output_field = BooleanField()


class _Text(Func):
    """A text at the top of a JSON document; `name` is its key."""

    template = "JSON_EXTRACT(%(expressions)s, '$.%(name)s')"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s::json ->> '%(name)s')", **context)


def _field(value: object) -> Field[Any, Any]:
    return DateTimeField() if isinstance(value, datetime) else BigIntegerField()


def _microseconds(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


def _moment(text: str) -> datetime:
    seconds, micro = divmod(int(text), 1_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micro)


_KINDS: dict[str, Callable[[str], Any]] = {
    "priority": int,
    "position": int,
    "id": int,
    "finished_at": _moment,
}
