"""Failures with everything that explains them, and who did what in the admin itself.

All of it is only to look at. Acts on failures are asked about and done as on the pages, by `jobs.pages.bulk`.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from diagnostics.evidence.artifacts import artifacts_of
from diagnostics.explaining.explain import account_of
from diagnostics.failures.error_texts import cause_of
from diagnostics.failures.failure import failure_of
from diagnostics.failures.filters import (
    MAX_LISTED,
    BoundedChangeList,
    BoundedPaginator,
    CauseFilter,
    EndedFilter,
    KindFilter,
    NodeFilter,
    PackFilter,
    failure_rows,
)
from diagnostics.models import FailedJob
from diagnostics.permissions import may_see_failures
from jobs.bulk.acts import newest_id
from jobs.models import BulkVerb, LifecycleEvent, StageAttempt
from jobs.pages.bulk import BulkQuestion, ask
from jobs.pages.permissions import may_operate
from jobs.reading.event_sentences import event_text
from jobs.running.envelope import read_envelope
from webui.admin import ReadOnlyAdmin, ReadOnlyInline
from webui.templatetags.webui_display import clock
from webui.words import duration

#: The words of a server may be longer than a line of the list.
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


class FailedAttemptInline(_EvidenceInline):
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
        return duration(attempt.wait_s)

    @admin.display(description="node")
    def where(self, attempt: Any) -> str:
        return f"{attempt.node.name}, generation {attempt.node_generation}"

    @admin.display(description="took")
    def took(self, attempt: Any) -> str:
        return duration(attempt.duration_s)


class FailureEventInline(_EvidenceInline):
    model = LifecycleEvent
    verbose_name_plural = "events"
    fields = ("sequence", "event_type", "from_status", "to_status", "when", "told")
    readonly_fields = ("when", "told")

    @admin.display(description="at")
    def when(self, event: Any) -> SafeString | str:
        return clock(event.at)

    @admin.display(description="what happened")
    def told(self, event: Any) -> str:
        return event_text(event.event_type, event.data)


@admin.register(FailedJob)
class FailedJobAdmin(ReadOnlyAdmin[FailedJob]):
    """The failures, newest first. The order is fixed: another would sort all of them for one page."""

    list_display = ("id", "cause", "node", "pack", "outcome", "ended")
    list_filter = (KindFilter, CauseFilter, NodeFilter, PackFilter, EndedFilter)
    search_fields = ("=id", "=error_code", "=pack_name")
    search_help_text = (
        "A job's number, an error code or the name of a pack. Newest first; "
        f"at most {MAX_LISTED:,} are listed, so narrow down for older ones."
    )
    actions = ("run_again", "cancel", "dismiss")
    sortable_by = ()
    list_per_page = 25
    ordering = ("-id",)
    paginator = BoundedPaginator
    list_max_show_all = 0
    show_facets = admin.ShowFacets.NEVER
    fields = ()
    inlines = (FailedAttemptInline, FailureEventInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[FailedJob]:
        return failure_rows().order_by(*self.ordering)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> FailedJob | None:
        job = super().get_object(request, object_id, from_field)
        return job if job is not None and (job.error or job.retry_count) else None

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Django asks it before it offers or takes one of the actions."""
        return may_operate(request)

    @admin.action(description="Run again", permissions=["operate"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[FailedJob]) -> HttpResponse:
        return self._ask(request, BulkVerb.RETRY, queryset)

    @admin.action(description="Cancel (waiting or running)", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[FailedJob]) -> HttpResponse:
        return self._ask(request, BulkVerb.CANCEL, queryset)

    @admin.action(description="Dismiss", permissions=["operate"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[FailedJob]) -> HttpResponse:
        return self._ask(request, BulkVerb.DISMISS, queryset)

    def _ask(self, request: Any, verb: BulkVerb, rows: QuerySet[FailedJob]) -> HttpResponse:
        listed = tuple(rows.values_list("pk", flat=True)[:MAX_LISTED])
        return ask(request, BulkQuestion(verb, listed), request.get_full_path())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        told = {"title": "Failures", "selection_note_all": "All that are listed are chosen."}
        return super().changelist_view(request, {**told, **(extra_context or {})})

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
            context |= {
                "account": account_of(job.pk),
                "may_operate": may_operate(request),
                "last_id": newest_id(),
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    @admin.display(description="cause")
    def cause(self, job: FailedJob) -> SafeString | str:
        if not job.error:
            return "–"
        error = read_envelope(job.error)
        said = str((error.get("context") or {}).get("words") or "")
        stage = str(error.get("stage") or "")
        return format_html(
            "<strong>{}</strong><br><span>{}{}{}</span>",
            cause_of(job.error_code, job.kind, told=str(error.get("message") or "")).what,
            job.error_code,
            f" in {stage}" if stage else "",
            f": {Truncator(said).chars(MESSAGE_CHARS)}" if said else "",
        )

    @admin.display(description="outcome")
    def outcome(self, job: FailedJob) -> str:
        told = job.get_status_display() + (" after its retry" if job.retry_count else "")
        return f"{told}, needs attention" if job.needs_attention else told

    @admin.display(description="ended")
    def ended(self, job: FailedJob) -> SafeString | str:
        return clock(job.finished_at)

    @admin.display(description="pack")
    def pack(self, job: FailedJob) -> SafeString:
        where = reverse("job", args=[job.pk])
        return format_html('<a href="{}">{} row {}</a>', where, job.pack_name, job.record.row_index + 1)
