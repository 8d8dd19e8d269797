"""How the list of failures is narrowed down: kind, cause, node, pack and time, without counting whole tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property

from diagnostics.models import FailedJob
from jobs.lifecycle import EventType
from jobs.models import Job, LifecycleEvent, PackOrigin, PromptPack
from webui.models import Node

#: The newest failures that a filter leaves can be paged through, so many; older ones are reached by filtering.
MAX_LISTED = 1_000
#: Packs that are offered as choices.
MAX_PACKS = 100
#: Hours back from now, as the address has them.
PERIODS = {"1": "Last hour", "24": "Last 24 hours", "168": "Last 7 days", "720": "Last 30 days"}
#: Events that every job with a used retry has at least one of.
RETRY_EVENTS = (EventType.CRASH_SUSPECTED, EventType.RETRY_STARTED, EventType.REQUEUED)


def failure_rows() -> QuerySet[FailedJob]:
    """Jobs with what the list shows of them, and without their records' long texts."""
    return FailedJob.objects.select_related("record", "node").defer("record__canonical_json")


if TYPE_CHECKING:
    FailurePaginator = Paginator[FailedJob]
else:
    # Django's own takes no type of its rows outside of the type checker.
    FailurePaginator = Paginator


class BoundedPaginator(FailurePaginator):
    """Looks for the jobs once: a filter that leaves few of many failures costs one walk through them, not two."""

    @cached_property
    def _found(self) -> list[int]:
        rows: Any = self.object_list
        return list(rows.values_list("pk", flat=True)[:MAX_LISTED])

    @cached_property
    def count(self) -> int:
        return len(self._found)

    def page(self, number: int | str) -> Page[FailedJob]:
        wanted = self.validate_number(number)
        start = (wanted - 1) * self.per_page
        # By number alone: the filters beside it would make the planner walk again.
        shown = failure_rows().filter(pk__in=self._found[start : start + self.per_page])
        return Page(shown.order_by("-id"), wanted, self)


class BoundedChangeList(ChangeList):
    """Takes its rows from the paginator always; Django itself would look for them again where one page is enough."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = self.paginator.page(self.page_num if self.multi_page else 1).object_list


class _Filter(admin.SimpleListFilter):
    """A filter by one value of the address; an unknown value leaves nothing, as its choice would."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else self.narrow(queryset, value)

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        raise NotImplementedError


class KindFilter(_Filter):
    """Failed jobs as a rule; on demand those that need attention, or that needed their retry, however they ended."""

    title = "kind"
    parameter_name = "kind"
    RETRIED = "retried"
    ATTENTION = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(self.ATTENTION, "Need attention"), (self.RETRIED, "Needed their retry")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == self.RETRIED:
            # No index knows the retry count, but the events of the few retries have one.
            seen = LifecycleEvent.objects.filter(event_type__in=RETRY_EVENTS).order_by()
            return queryset.filter(retry_count=1, pk__in=seen.values("job_id"))
        failed = queryset.exclude(error_code="")
        if self.value() == self.ATTENTION:
            # As a list of ids, because failures are walked newest first: those that wait may be a few among many.
            return failed.filter(pk__in=Job.objects.filter(needs_attention=True).order_by().values("pk"))
        return failed

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "All that failed"}
        yield from others


class CauseFilter(_Filter):
    title = "cause"
    parameter_name = "cause"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in causes()]

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        # The second condition is what lets the partial index be used.
        return rows.filter(error_code=value).exclude(error_code="")


class NodeFilter(_Filter):
    title = "node"
    parameter_name = "node"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Node.objects.values_list("name", flat=True)]

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        # Added to zero, because the index of all jobs of a node is far longer than that of the failures.
        node_ids = list(Node.objects.filter(name=value).values_list("pk", flat=True))
        found: QuerySet[Any] = rows.alias(on_node=F("node_id") + 0).filter(on_node__in=node_ids)
        return found


class PackFilter(_Filter):
    title = "pack"
    parameter_name = "pack"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        packs = PromptPack.objects.exclude(origin=PackOrigin.FORM).order_by("name")
        names = list(packs.values_list("name", flat=True)[:MAX_PACKS])
        asked = self.value()
        return [(name, name) for name in [*names, *([asked] if asked and asked not in names else [])]]

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        # As an expression, for the same reason: a pack has many more jobs than failures.
        name = Concat(F("pack_name"), Value(""))
        found: QuerySet[Any] = rows.alias(of_pack=name).filter(of_pack=value)
        return found


class EndedFilter(_Filter):
    title = "time"
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(PERIODS.items())

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value not in PERIODS:
            return rows.none()
        return rows.filter(finished_at__gte=timezone.now() - timedelta(hours=int(value)))


def causes() -> list[str]:
    """The error codes that occur, in order; one index look-up per code, whatever the number of failures."""
    failed = FailedJob.objects.exclude(error_code="").order_by("error_code")
    found: list[str] = []
    while True:
        rows = failed.filter(error_code__gt=found[-1]) if found else failed
        code = rows.values_list("error_code", flat=True).first()
        if code is None:
            return found
        found.append(code)
