"""Packs as they were imported: a name, and revisions that never change."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from jobs.immutable import InsertOnlyModel
from webui.kinds import WorkKind


class PackOrigin(models.TextChoices):
    """Where a pack comes from. Those of forms stay out of lists unless somebody asks for them."""

    FILE = "file", "Files"
    FORM = "form", "A form"


class PromptPack(models.Model):
    """A named prompt pack; what it contains stands in its revisions. It keeps its kind for life."""

    name = models.CharField(
        max_length=200, unique=True, help_text="File stem; the prompt_pack_id of records."
    )
    title = models.CharField(max_length=200, blank=True, help_text="The name the pack gives itself.")
    current = models.ForeignKey(
        "PackRevision",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The revision that a submission uses.",
    )
    kind = models.CharField(
        max_length=8,
        choices=WorkKind,
        default=WorkKind.IMAGE,
        db_default=WorkKind.IMAGE,
        help_text="What its rows make.",
    )
    origin = models.CharField(
        max_length=4, choices=PackOrigin, default=PackOrigin.FILE, db_default=PackOrigin.FILE
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PackRevision(InsertOnlyModel):
    """The exact content of a pack at one import. Importing changed content makes a new revision."""

    pack = models.ForeignKey(PromptPack, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    text = models.TextField(blank=True)
    document = models.TextField(blank=True, help_text="The JSON beside the text, exactly as it was.")
    sha256 = models.CharField(max_length=64)
    row_count = models.PositiveIntegerField()
    warnings = models.JSONField(default=list, blank=True)
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(InsertOnlyModel.Meta):
        ordering = ("pack_id", "number")
        constraints = (
            models.UniqueConstraint(fields=("pack", "number"), name="revision_number_once"),
            models.UniqueConstraint(fields=("pack", "sha256"), name="revision_content_once"),
        )

    def __str__(self) -> str:
        return f"{self.pack.name} revision {self.number}"
