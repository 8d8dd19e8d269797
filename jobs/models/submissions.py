"""What was asked for: one act of submitting, and the frozen records that came of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from jobs.immutable import InsertOnlyModel
from jobs.lifecycle import TruthPolicy
from jobs.models.packs import PackRevision


class Submission(InsertOnlyModel):
    """One act of submitting: what was asked for, by whom, and how much came of it."""

    key = models.CharField(max_length=200, null=True, blank=True, unique=True, help_text="Idempotency key.")
    build_seed = models.BigIntegerField()
    options = models.JSONField(default=list, help_text="Per pack: name, revision and the build options.")
    revisions = models.ManyToManyField(PackRevision, related_name="submissions")
    truth_policy = models.CharField(
        max_length=6,
        blank=True,
        default="",
        db_default="",
        choices=TruthPolicy,
        help_text="What becomes of pictures that are not as asked; empty = as this installation is set.",
    )
    job_count = models.PositiveIntegerField()
    image_count = models.PositiveIntegerField()
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(InsertOnlyModel.Meta):
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"submission {self.pk} ({self.job_count} jobs)"


class JobRecord(InsertOnlyModel):
    """A `NormalizedJobRecord` at rest: the very bytes that were hashed, and the columns that lists filter on."""

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="records")
    revision = models.ForeignKey(PackRevision, on_delete=models.PROTECT, related_name="records")
    canonical_json = models.TextField()
    sha256 = models.CharField(max_length=64)
    pack_name = models.CharField(max_length=200)
    row_index = models.PositiveIntegerField()
    checkpoint = models.CharField(max_length=300, blank=True)
    sampler = models.CharField(max_length=100, blank=True)
    seed = models.BigIntegerField()
    width_px = models.PositiveIntegerField()
    height_px = models.PositiveIntegerField()
    image_count = models.PositiveIntegerField()

    class Meta(InsertOnlyModel.Meta):
        indexes = (models.Index(fields=("pack_name",), name="record_by_pack"),)

    def __str__(self) -> str:
        return f"record {self.pk} of {self.pack_name} row {self.row_index + 1}"
