"""Every table of the domain, to look at and to search; changing goes through the services."""

from __future__ import annotations

from django.contrib import admin

from jobs.models import (
    BulkAction,
    CheckpointTrouble,
    HistoryEntry,
    InputPicture,
    InputUse,
    Job,
    JobRecord,
    LifecycleEvent,
    NeedSet,
    NodeLack,
    OutputImage,
    PackRevision,
    PromptPack,
    QueueControl,
    Runner,
    StageAttempt,
    Submission,
    TruthCheck,
)
from webui.admin import ReadOnlyAdmin, ReadOnlyInline


class _LinkedInline(ReadOnlyInline):
    show_change_link = True


class EventInline(_LinkedInline):
    model = LifecycleEvent
    fields = ("sequence", "event_type", "from_status", "to_status", "at")


class AttemptInline(_LinkedInline):
    model = StageAttempt
    fields = ("run_number", "stage", "image_index", "node", "outcome", "http_status", "duration_s", "reason")


class OutputInline(_LinkedInline):
    model = OutputImage
    fields = ("stage", "image_index", "path", "width_px", "height_px", "seed")


@admin.register(PromptPack)
class PromptPackAdmin(ReadOnlyAdmin[PromptPack]):
    list_display = ("name", "title", "current", "created_at")
    list_select_related = ("current__pack",)
    search_fields = ("name", "title")


@admin.register(PackRevision)
class PackRevisionAdmin(ReadOnlyAdmin[PackRevision]):
    list_display = ("pack", "number", "row_count", "sha256", "imported_by", "created_at")
    list_select_related = ("pack", "imported_by")
    list_filter = ("created_at",)
    search_fields = ("pack__name", "=sha256")


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin[Submission]):
    list_display = ("id", "created_at", "submitted_by", "job_count", "image_count", "build_seed", "key")
    list_select_related = ("submitted_by",)
    list_filter = ("created_at",)
    search_fields = ("=id", "=key", "submitted_by__username", "revisions__pack__name")


@admin.register(JobRecord)
class JobRecordAdmin(ReadOnlyAdmin[JobRecord]):
    list_display = ("id", "pack_name", "row_index", "checkpoint", "sampler", "seed", "width_px", "height_px")
    list_filter = ("sampler",)
    search_fields = ("=id", "pack_name", "checkpoint", "=sha256")


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin[Job]):
    list_display = (
        "id",
        "status",
        "pack",
        "priority",
        "position",
        "retry_count",
        "node",
        "submitted_at",
        "finished_at",
    )
    list_select_related = ("record", "node")
    list_filter = ("status", "kind", "priority", "retry_count", "node")
    search_fields = ("=id", "record__pack_name", "=record__sha256")
    inlines = (EventInline, AttemptInline, OutputInline)

    @admin.display(description="pack", ordering="record__pack_name")
    def pack(self, job: Job) -> str:
        return f"{job.record.pack_name} row {job.record.row_index + 1}"


@admin.register(LifecycleEvent)
class LifecycleEventAdmin(ReadOnlyAdmin[LifecycleEvent]):
    list_display = ("id", "job", "sequence", "event_type", "from_status", "to_status", "at")
    list_select_related = ("job",)
    list_filter = ("event_type",)
    search_fields = ("=job__id",)


@admin.register(StageAttempt)
class StageAttemptAdmin(ReadOnlyAdmin[StageAttempt]):
    list_display = (
        "id",
        "job",
        "run_number",
        "stage",
        "image_index",
        "node",
        "node_generation",
        "outcome",
        "http_status",
        "duration_s",
    )
    list_select_related = ("job", "node")
    list_filter = ("outcome", "stage", "node", "http_status")
    search_fields = ("=job__id", "=task_id", "reason")


@admin.register(OutputImage)
class OutputImageAdmin(ReadOnlyAdmin[OutputImage]):
    list_display = ("id", "job", "stage", "image_index", "path", "width_px", "height_px", "seed")
    list_select_related = ("job",)
    list_filter = ("stage",)
    search_fields = ("=job__id", "path", "=sha256", "=seed")


@admin.register(InputUse)
class InputUseAdmin(ReadOnlyAdmin[InputUse]):
    list_display = ("record", "picture")
    list_select_related = ("record", "picture")
    list_filter = ("picture__format",)
    search_fields = ("=record__id", "picture__sha256", "picture__name")


@admin.register(InputPicture)
class InputPictureAdmin(ReadOnlyAdmin[InputPicture]):
    list_display = ("id", "name", "format", "width_px", "height_px", "size_bytes", "by", "at", "from_output")
    list_select_related = ("from_output",)
    list_filter = ("format", "at")
    search_fields = ("name", "=sha256", "by")


@admin.register(TruthCheck)
class TruthCheckAdmin(ReadOnlyAdmin[TruthCheck]):
    list_display = ("id", "output", "verdict", "rules", "judged_at")
    list_select_related = ("output",)
    list_filter = ("verdict", "judged_at")
    search_fields = ("=output__job__id", "output__path")


@admin.register(HistoryEntry)
class HistoryEntryAdmin(ReadOnlyAdmin[HistoryEntry]):
    list_display = ("job", "status", "finished_at", "retry_count", "error_message")
    list_select_related = ("job",)
    list_filter = ("status", "finished_at")
    search_fields = ("=job__id", "record__pack_name", "error_message", "=record_sha256")


@admin.register(Runner)
class RunnerAdmin(ReadOnlyAdmin[Runner]):
    list_display = (
        "node",
        "heartbeat_at",
        "pid",
        "token_pending",
        "draining",
        "must_quiet",
        "progress_version",
    )
    list_select_related = ("node",)
    search_fields = ("node__name",)
    list_filter = ("draining",)


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyAdmin[BulkAction]):
    list_display = (
        "id",
        "verb",
        "asked_by",
        "asked_at",
        "total",
        "done",
        "skipped",
        "ended_at",
        "stopped_by",
    )
    list_filter = ("verb",)
    search_fields = ("asked_by",)


@admin.register(NeedSet)
class NeedSetAdmin(ReadOnlyAdmin[NeedSet]):
    list_display = ("id", "document")
    search_fields = ("document", "=sha256")
    list_filter = ("lacks__node",)


@admin.register(NodeLack)
class NodeLackAdmin(ReadOnlyAdmin[NodeLack]):
    list_display = ("node", "needs", "missing", "known_at")
    list_select_related = ("node", "needs")
    search_fields = ("node__name", "needs__document")
    list_filter = ("node",)


@admin.register(CheckpointTrouble)
class CheckpointTroubleAdmin(ReadOnlyAdmin[CheckpointTrouble]):
    list_display = ("node", "checkpoint", "failures", "what", "held_at")
    list_select_related = ("node",)
    search_fields = ("node__name", "checkpoint")
    list_filter = ("node", "held_at")


@admin.register(QueueControl)
class QueueControlAdmin(ReadOnlyAdmin[QueueControl]):
    list_display = (
        "__str__",
        "paused",
        "paused_by",
        "submitted",
        "queued",
        "running",
        "completed",
        "failed",
        "cancelled",
    )
    search_fields = ("pause_reason", "paused_by")
    list_filter = ("paused",)
