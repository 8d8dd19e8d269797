"""An act of one person on many jobs, done in chunks: what was asked, how far it is."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from jobs.lifecycle import Priority


class BulkVerb(models.TextChoices):
    """What is done to each job. The first five are for queued jobs, the others for finished ones."""

    CANCEL = "cancel", "Cancel"
    FRONT = "front", "Move to the front"
    BACK = "back", "Move to the back"
    PRIORITY = "priority", "Change the priority"
    ANYWAY = "anyway", "Run anyway"
    RETRY = "retry", "Run again"
    DISMISS = "dismiss", "Dismiss"


class BulkAction(models.Model):
    """One verb for all jobs that matched when it was asked; jobs that come later are not touched.

    Each chunk commits its jobs and its progress together, so a row that is not finished can be gone on with.
    """

    verb = models.CharField(max_length=10, choices=BulkVerb)
    priority = models.SmallIntegerField(choices=Priority, null=True, blank=True)
    filters = models.JSONField(default=dict, help_text="What the jobs had to match.")
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(default=timezone.now)
    bounds = models.JSONField(default=dict, help_text="Ends of what belongs to it, fixed when it was asked.")
    cursor = models.CharField(max_length=80, blank=True, help_text="Key of the last job that was looked at.")
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="They had changed before their turn came.")
    ended_at = models.DateTimeField(null=True, blank=True)
    stopped_by = models.CharField(max_length=150, blank=True, help_text="Who ended it before its last job.")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=Q(verb__in=BulkVerb.values), name="bulk_verb_known"),
            models.CheckConstraint(
                condition=Q(verb=BulkVerb.PRIORITY, priority__isnull=False)
                | (~Q(verb=BulkVerb.PRIORITY) & Q(priority__isnull=True)),
                name="bulk_priority_exactly_with_its_verb",
            ),
            models.CheckConstraint(
                condition=Q(total__gte=F("done") + F("skipped")), name="bulk_counts_within_total"
            ),
        )
        indexes = (models.Index(fields=("id",), name="bulk_open", condition=Q(ended_at__isnull=True)),)

    def __str__(self) -> str:
        return f"{self.verb} of {self.total} jobs"
