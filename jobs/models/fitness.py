"""What records need of a server, and which nodes are known not to have it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from jobs.immutable import InsertOnlyModel
from webui.models import Node


class NeedSet(InsertOnlyModel):
    """Everything that a record names and a server must have: equal sets of any records are one row."""

    sha256 = models.CharField(max_length=64, unique=True)
    document = models.TextField(help_text="JSON: [kind, name] pairs, sorted.")

    def __str__(self) -> str:
        return f"needs {self.pk}"


class NodeLack(models.Model):
    """A node is known not to have something of a set of needs: it claims no job that has these needs.

    No row means that it has everything, or that nobody knows.
    """

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="lacks")
    needs = models.ForeignKey(NeedSet, on_delete=models.PROTECT, related_name="lacks")
    missing = models.JSONField(help_text="What is missing: kind, name, nearest, why of each.")
    known_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("node", "needs"), name="lack_once"),)

    def __str__(self) -> str:
        return f"{self.node.name} lacks something of needs {self.needs_id}"


class CheckpointTrouble(models.Model):
    """Failures in a row of one checkpoint on one node, by the server's own fault; three hold it there."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="troubles")
    checkpoint = models.CharField(max_length=300)
    failures = models.PositiveSmallIntegerField(default=0)
    what = models.CharField(max_length=100, blank=True, help_text='What happened, like "gave NaN".')
    held_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("node", "checkpoint"), name="trouble_once"),)

    def __str__(self) -> str:
        return f"{self.checkpoint} {self.what} {self.failures} times on {self.node.name}"
