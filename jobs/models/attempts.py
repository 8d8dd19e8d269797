"""What was sent for a job, and the pictures that came of it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.immutable import InsertOnlyModel
from jobs.models.job import Job
from webui.models import Node

MEDIA_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
}
"""Files that a browser may show in place, by their endings."""


class AttemptOutcome(models.TextChoices):
    """How one call of one stage ended; empty while it is under way."""

    COMPLETED = "completed", "Completed"
    REJECTED = "rejected", "Rejected by the WebUI"
    TRANSIENT = "transient", "Transient refusal"
    SERVER_ERROR = "server_error", "WebUI error"
    UNAVAILABLE = "unavailable", "WebUI unavailable"
    BAD_ANSWER = "bad_answer", "Bad answer"
    CANCELLED = "cancelled", "Cancelled"
    DRAINED = "drained", "Interrupted and given back"
    ERROR = "error", "Error of ours"
    LOST = "lost", "Worker lost"


class StageAttempt(models.Model):
    """One POST of one stage: committed as started before it is sent, ended once."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="attempts")
    run_token = models.UUIDField()
    run_number = models.PositiveIntegerField(
        help_text="1 for the first claim of the job that started a stage."
    )
    stage = models.CharField(max_length=20)
    stage_index = models.PositiveSmallIntegerField()
    image_index = models.PositiveIntegerField(
        null=True, blank=True, help_text="Empty: one POST for all pictures."
    )
    attempt_index = models.PositiveSmallIntegerField(default=1)
    max_attempts = models.PositiveSmallIntegerField(default=1)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="+")
    node_generation = models.PositiveIntegerField()
    task_id = models.CharField(max_length=100)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=AttemptOutcome, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    reason = models.TextField(blank=True)
    wait_s = models.FloatField(default=0)
    duration_s = models.FloatField(null=True, blank=True)
    artifact_paths = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, outcome="") | (Q(ended_at__isnull=False) & ~Q(outcome="")),
                name="attempt_ended_exactly_with_outcome",
            ),
            models.CheckConstraint(
                condition=Q(outcome="") | Q(outcome__in=AttemptOutcome.values), name="attempt_outcome_known"
            ),
        )

    def __str__(self) -> str:
        return f"job {self.job_id} {self.stage} attempt {self.pk}"


class OutputImage(InsertOnlyModel):
    """A picture or a film that counts as a result of one stage. A file without such a row is no result.

    `frames`, `fps`, `duration_s` and `poster_path` are those of a film. `truth_check` is its newest `TruthCheck`, where
    `jobs.truth.checks` has written or loaded it.
    """

    truth_check: Any = None

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="outputs")
    attempt = models.ForeignKey(StageAttempt, on_delete=models.PROTECT, related_name="outputs")
    stage = models.CharField(max_length=20)
    stage_index = models.PositiveSmallIntegerField()
    image_index = models.PositiveIntegerField()
    take = models.PositiveSmallIntegerField(default=1)
    path = models.CharField(max_length=500, help_text="Relative to the output folder.")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    width_px = models.PositiveIntegerField()
    height_px = models.PositiveIntegerField()
    seed = models.BigIntegerField(null=True, blank=True)
    infotext = models.TextField(blank=True)
    frames = models.PositiveIntegerField(null=True, blank=True, help_text="Of a film; empty for a picture.")
    fps = models.FloatField(null=True, blank=True, help_text="Of a film: frames per second.")
    duration_s = models.FloatField(null=True, blank=True, help_text="Of a film.")
    poster_path = models.CharField(
        max_length=500,
        blank=True,
        default="",
        db_default="",
        help_text="Of a film: its first frame as a picture, relative to the output folder.",
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(InsertOnlyModel.Meta):
        ordering = ("job_id", "stage_index", "image_index")
        constraints = (
            models.UniqueConstraint(fields=("job", "take", "stage", "image_index"), name="output_unit_once"),
        )
        # Whether a picture that somebody gives was made here.
        indexes = (models.Index(fields=("sha256",), name="output_by_hash", condition=Q(frames__isnull=True)),)

    def __str__(self) -> str:
        return self.path

    @property
    def is_film(self) -> bool:
        return self.frames is not None

    @property
    def media_type(self) -> str:
        """By the ending of its file; "" for one that a browser is not to show."""
        return MEDIA_TYPES.get(PurePosixPath(self.path).suffix.lower(), "")

    @property
    def still_path(self) -> str:
        """The file that shows it as a picture: the poster of a film, else itself."""
        return self.poster_path if self.is_film else self.path
