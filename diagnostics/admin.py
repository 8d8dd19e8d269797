"""Failures with everything that explains them, and who did what in the admin itself; all of it only to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from diagnostics.artifacts import artifacts_of
from diagnostics.failure_filters import (
    MAX_LISTED,
    BoundedPaginator,
    CauseFilter,
    EndedFilter,
    KindFilter,
    NodeFilter,
    PackFilter,
)
from diagnostics.failures import failure_of
from diagnostics.models import FailedJob
from diagnostics.permissions import may_see_failures
from jobs.models import LifecycleEvent, StageAttempt
from jobs.selectors.timeline import event_text
from webui.admin import ReadOnlyAdmin, ReadOnlyInline
from webui.templatetags.webui_display import clock

#: A message is longer than a line of the list.
MESSAGE_CHARS = 160


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin[LogEntry]):
    list_display = ("action_time", "user", "content_type", "object_repr", "action_flag")
    list_select_related = ("user", "content_type")
    list_filter = ("action_flag",)
    search_fields = ("object_repr", "user__username")


class _EvidenceInline(ReadOnlyInline):
    """Who may see failures may see these rows here."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_see_failures(request)


class AttemptInline(_EvidenceInline):
    model = StageAttempt
    verbose_name_plural = "attempts"
    fields = (
        "run_number",
        "stage",
        "picture",
        "attempt",
        "waited",
        "where",
        "outcome",
        "http_status",
        "took",
        "reason",
    )
    readonly_fields = ("picture", "attempt", "waited", "where", "took")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("node").order_by("id")

    @admin.display(description="picture")
    def picture(self, attempt: Any) -> str:
        return "all" if attempt.image_index is None else str(attempt.image_index + 1)

    @admin.display(description="attempt")
    def attempt(self, attempt: Any) -> str:
        return f"{attempt.attempt_index} of {attempt.max_attempts}"

    @admin.display(description="waited")
    def waited(self, attempt: Any) -> str:
        return f"{attempt.wait_s:.1f} s"

    @admin.display(description="node")
    def where(self, attempt: Any) -> str:
        return f"{attempt.node.name}, generation {attempt.node_generation}"

    @admin.display(description="took")
    def took(self, attempt: Any) -> str:
        return "–" if attempt.duration_s is None else f"{attempt.duration_s:.1f} s"


class EventInline(_EvidenceInline):
    model = LifecycleEvent
    verbose_name_plural = "events"
    fields = ("sequence", "event_type", "from_status", "to_status", "when", "told")
    readonly_fields = ("when", "told")

    @admin.display(description="at")
    def when(self, event: Any) -> SafeString | str:
        return clock(event.at)

    @admin.display(description="what happened")
    def told(self, event: Any) -> str:
        return event_text(event)


@admin.register(FailedJob)
class FailedJobAdmin(ReadOnlyAdmin[FailedJob]):
    """The failures, newest first. The order is fixed: another would sort all of them for one page."""

    list_display = ("id", "cause", "node", "pack", "outcome", "ended")
    list_filter = (KindFilter, CauseFilter, NodeFilter, PackFilter, EndedFilter)
    search_fields = ("=id", "=error_code", "=record__pack_name")
    search_help_text = (
        "A job's number, an error code or the name of a pack. Newest first; "
        f"at most {MAX_LISTED:,} are listed, so narrow down for older ones."
    )
    sortable_by = ()
    ordering = ("-id",)
    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER
    fields = ()
    inlines = (AttemptInline, EventInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[FailedJob]:
        rows = super().get_queryset(request).select_related("record", "node")
        return rows.defer("record__canonical_json")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> FailedJob | None:
        job = super().get_object(request, object_id, from_field)
        return job if job is not None and (job.error or job.retry_count) else None

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        context: dict[str, Any] = {"title": f"Failure of job {object_id}", "job": job}
        if job is not None:
            context |= {"failure": failure_of(job), "artifacts": artifacts_of(job.pk)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    @admin.display(description="cause")
    def cause(self, job: FailedJob) -> SafeString | str:
        if not job.error:
            return "–"
        text = str(job.error.get("message", ""))
        short = text if len(text) <= MESSAGE_CHARS else text[: MESSAGE_CHARS - 1] + "…"
        stage = job.error.get("stage")
        return format_html(
            "<strong>{}</strong>{}<br>{}", job.error_code, f" in {stage}" if stage else "", short
        )

    @admin.display(description="outcome")
    def outcome(self, job: FailedJob) -> str:
        return job.get_status_display() + (" after its retry" if job.retry_count else "")

    @admin.display(description="ended")
    def ended(self, job: FailedJob) -> SafeString | str:
        return clock(job.finished_at)

    @admin.display(description="pack")
    def pack(self, job: FailedJob) -> SafeString:
        where = reverse("job", args=[job.pk])
        return format_html(
            '<a href="{}">{} row {}</a>', where, job.record.pack_name, job.record.row_index + 1
        )
