"""The pictures that films and edits are made of."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from jobs.immutable import InsertOnlyModel
from jobs.models.attempts import OutputImage
from jobs.models.submissions import JobRecord


class InputPicture(InsertOnlyModel):
    """A picture that somebody gave, or a result that became an input; equal bytes have one row.

    Written by `jobs.inputs.store` alone, when its file is there. Width and height are as EXIF turns it.
    """

    sha256 = models.CharField(max_length=64, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    width_px = models.PositiveIntegerField()
    height_px = models.PositiveIntegerField()
    format = models.CharField(max_length=8, help_text="By its content: PNG, JPEG, WEBP or AVIF.")
    name = models.CharField(max_length=200, help_text="The name of its file when it first came.")
    by = models.CharField(
        "uploaded by", max_length=150, blank=True, help_text="Who gave it first; empty = a command."
    )
    at = models.DateTimeField("uploaded at", default=timezone.now)
    from_output = models.ForeignKey(
        OutputImage,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="as_input",
        help_text="The result that it is: no copy of it is kept.",
    )

    class Meta(InsertOnlyModel.Meta):
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:12]})"


class InputUse(InsertOnlyModel):
    """A record is made from this picture. The record itself names its pictures; rows lead from a picture to records."""

    record = models.ForeignKey(JobRecord, on_delete=models.PROTECT, related_name="+", db_index=False)
    picture = models.ForeignKey(InputPicture, on_delete=models.PROTECT, related_name="records")

    class Meta(InsertOnlyModel.Meta):
        constraints = (models.UniqueConstraint(fields=("record", "picture"), name="input_use_once"),)

    def __str__(self) -> str:
        return f"picture {self.picture_id} of record {self.record_id}"
