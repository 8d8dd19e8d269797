"""What happened to a job, step by step and in the end; written once."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.immutable import InsertOnlyModel
from jobs.lifecycle import EventType, JobStatus
from jobs.models.job import TERMINAL_VALUES, Job
from jobs.models.submissions import JobRecord


class LifecycleEvent(InsertOnlyModel):
    """One step in the life of one job."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="events")
    sequence = models.PositiveIntegerField()
    event_type = models.CharField(max_length=40, choices=EventType)
    from_status = models.CharField(max_length=10, blank=True)
    to_status = models.CharField(max_length=10, blank=True)
    at = models.DateTimeField(default=timezone.now)
    data = models.JSONField(default=dict)

    class Meta(InsertOnlyModel.Meta):
        ordering = ("job_id", "sequence")
        constraints = (
            models.UniqueConstraint(fields=("job", "sequence"), name="event_sequence_once"),
            models.CheckConstraint(condition=Q(event_type__in=EventType.values), name="event_type_known"),
        )
        indexes = (models.Index(fields=("event_type", "-id"), name="event_by_type"),)

    def __str__(self) -> str:
        return f"job {self.job_id} #{self.sequence} {self.event_type}"


class HistoryEntry(InsertOnlyModel):
    """How one job ended."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="history")
    record = models.ForeignKey(JobRecord, on_delete=models.PROTECT, related_name="+")
    record_sha256 = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=JobStatus)
    submitted_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField()
    output_paths = models.JSONField(default=list)
    error_message = models.TextField(blank=True)
    retry_count = models.PositiveSmallIntegerField()

    class Meta(InsertOnlyModel.Meta):
        ordering = ("-finished_at", "-id")
        verbose_name_plural = "history entries"
        constraints = (
            models.CheckConstraint(condition=Q(status__in=TERMINAL_VALUES), name="history_status_terminal"),
        )
        indexes = (models.Index(fields=("-finished_at", "-id"), name="history_order"),)

    def __str__(self) -> str:
        return f"job {self.job_id} {self.status}"
