"""What was found when a result was held against what had been asked for."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from jobs.immutable import InsertOnlyModel
from jobs.lifecycle import TruthVerdict
from jobs.models.attempts import OutputImage


class TruthCheck(InsertOnlyModel):
    """One judgement of one picture; the newest counts (`recheck` adds another)."""

    output = models.ForeignKey(OutputImage, on_delete=models.PROTECT, related_name="checks")
    verdict = models.CharField(max_length=10, choices=TruthVerdict)
    fields = models.JSONField(help_text="Per field: outcome, asked, used, who says so.")
    rules = models.PositiveSmallIntegerField(help_text="Version of the rules that judged it.")
    judged_at = models.DateTimeField(default=timezone.now)

    class Meta(InsertOnlyModel.Meta):
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.verdict}: output {self.output_id}"
