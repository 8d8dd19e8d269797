"""Failures that wait for a person, grouped by cause: how many, since when, and what they have in common.

A failed job needs attention until somebody runs it again or dismisses it; that it failed stays in the ledger.
Doing something about them belongs to `jobs.bulk.acts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Func, IntegerField, Max, Min, QuerySet, Subquery
from django.db.models.functions import Coalesce

from diagnostics.failures.error_texts import Cause, cause_of
from jobs.models import Job, QueueControl
from jobs.running.envelope import read_envelope

#: The newest failures of a cause that are looked at for what they have in common.
SAMPLE = 100
#: Packs or checkpoints that a group names; more are only counted.
NAMED = 4


@dataclass(frozen=True, slots=True)
class Share:
    """One pack or checkpoint, and how many of the sampled failures have it."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Shares:
    """The most frequent first; `others` are the names beyond them."""

    named: tuple[Share, ...]
    others: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one cause; packs and checkpoints are those of its `sampled` newest.

    The words of `cause`, `newest_stage` and `message` are of the newest; the message is what the server said, where it
    said something.
    """

    cause: Cause
    count: int
    first_at: datetime
    last_at: datetime
    newest_id: int
    newest_pack: str
    newest_stage: str
    message: str
    packs: Shares
    checkpoints: Shares
    sampled: int

    @property
    def all_sampled(self) -> bool:
        return self.sampled == self.count


@dataclass(frozen=True, slots=True)
class FailureGroups:
    """All that needs attention: `total` failures of `causes` causes, and the groups that were asked for.

    `version` only grows, and only when something here changes; `failed` is the ledger's count of failed jobs.
    """

    version: int
    failed: int
    total: int
    causes: int
    groups: tuple[FailureGroup, ...]


@dataclass(frozen=True, slots=True)
class _Sampled:
    job_id: int
    pack: str
    checkpoint: str
    kind: str


def attention_version() -> int:
    """One query. Every new failure and every one that is dealt with makes it greater by one."""
    # A plain function, because an aggregate would bring a GROUP BY.
    number = _waiting().values(number=Func(F("id"), function="COUNT", output_field=IntegerField()))
    failed, waiting = (
        QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID)
        .annotate(waiting=Coalesce(Subquery(number), 0))
        .values_list("failed", "waiting")
        .get()
    )
    return _version(failed, waiting)


def attention(*, most: int | None = None) -> FailureGroups:
    """The groups, the largest first, at most `most` of them; four queries, whatever their number and size."""
    failed = QueueControl.objects.values_list("failed", flat=True).get(pk=QueueControl.SINGLETON_ID)
    rows = list(
        _waiting()
        .values("error_code")
        .annotate(number=Count("pk"), first=Min("finished_at"), last=Max("finished_at"))
        .order_by("-number", "error_code")
    )
    total = sum(row["number"] for row in rows)
    asked = rows if most is None else rows[:most]
    samples = _samples([row["error_code"] for row in asked])
    newest = [sample[0].job_id for sample in samples.values()]
    envelopes = dict(Job.objects.filter(pk__in=newest).values_list("pk", "error")) if newest else {}
    return FailureGroups(
        version=_version(failed, total),
        failed=failed,
        total=total,
        causes=len(rows),
        # A group whose last failure was dealt with between two of the queries has no sample any more.
        groups=tuple(
            _group(row, samples[row["error_code"]], envelopes)
            for row in asked
            if row["error_code"] in samples
        ),
    )


def _waiting() -> QuerySet[Job]:
    return Job.objects.filter(needs_attention=True).order_by()


def _version(failed: int, waiting: int) -> int:
    """Failures that ever came, and those that were ever dealt with: both only grow."""
    return failed + (failed - waiting)


def _samples(codes: Sequence[str]) -> dict[str, list[_Sampled]]:
    """The newest failures of each code, the newest first; one query."""
    if not codes:
        return {}
    parts = [
        Job.objects.filter(
            pk__in=_waiting().filter(error_code=code).order_by("-finished_at", "-id").values("pk")[:SAMPLE]
        )
        .order_by()
        .values_list("error_code", "finished_at", "id", "pack_name", "checkpoint", "kind")
        for code in codes
    ]
    rows = parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]
    found: dict[str, list[_Sampled]] = {}
    for code, _, job_id, pack, checkpoint, kind in sorted(rows, key=lambda row: row[1:3], reverse=True):
        found.setdefault(code, []).append(_Sampled(job_id, pack, checkpoint, kind))
    return found


def _group(
    row: Mapping[str, Any], sample: Sequence[_Sampled], envelopes: Mapping[int, dict[str, Any] | None]
) -> FailureGroup:
    newest = sample[0]
    envelope = read_envelope(envelopes.get(newest.job_id))
    message = str(envelope.get("message") or "")
    context = envelope.get("context") or {}
    return FailureGroup(
        cause=cause_of(
            row["error_code"], newest.kind, told=message, remedy=str(envelope.get("remediation") or "")
        ),
        count=row["number"],
        first_at=row["first"],
        last_at=row["last"],
        newest_id=newest.job_id,
        newest_pack=newest.pack,
        newest_stage=str(envelope.get("stage") or ""),
        message=str(context.get("words") or message),
        packs=_shares(job.pack for job in sample),
        checkpoints=_shares(job.checkpoint for job in sample),
        sampled=len(sample),
    )


def _shares(names: Iterable[str]) -> Shares:
    counted = Counter(name for name in names if name)
    named = tuple(Share(name, count) for name, count in counted.most_common(NAMED))
    return Shares(named, len(counted) - len(named))
