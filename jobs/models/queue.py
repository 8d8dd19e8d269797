"""Who runs jobs (one row per node), and the queue as a whole (one row)."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from webui.models import Node


class Runner(models.Model):
    """The supervisor of one node and its claims."""

    node = models.OneToOneField(Node, on_delete=models.PROTECT, related_name="runner")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    host_identity = models.CharField(max_length=200, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    token_pending = models.BooleanField(default=False)
    woken_at = models.DateTimeField(null=True, blank=True, help_text="When it was last woken.")
    last_claim_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Of nodes of one kind, the one that has waited longest is next; empty = first.",
    )
    draining = models.BooleanField(default=False)
    interrupt_at = models.DateTimeField(
        null=True, blank=True, help_text="While draining: when the running job is interrupted and requeued."
    )
    progress = models.JSONField(
        null=True, blank=True, help_text="Of the running job; at most one write a second."
    )
    progress_version = models.PositiveBigIntegerField(default=0)
    quiet_since = models.DateTimeField(null=True, blank=True)
    must_quiet = models.BooleanField(
        default=False, help_text="A lost run may still be generating: no claim until the WebUI is quiet."
    )
    suspect_task_id = models.CharField(max_length=100, blank=True, help_text="The generation to wait out.")
    longest_step_s = models.FloatField(default=0, help_text="The longest sampling step seen on this node.")
    lost_attempt = models.ForeignKey(
        "jobs.StageAttempt",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="A request that goes on although its process is gone: the next claim takes its job up.",
    )

    storage_reason = models.CharField(
        max_length=300, blank=True, help_text="Why files cannot be written here: no claim until they can."
    )
    storage_since = models.DateTimeField(null=True, blank=True)

    # --- the breaker (jobs.queue.breaker) ---
    crash_failures = models.PositiveSmallIntegerField(
        default=0, help_text="Jobs in a row that failed by a crash; a completed one resets it."
    )
    breaker_opened_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when this node takes no jobs; empty = closed."
    )
    breaker_until = models.DateTimeField(
        null=True, blank=True, help_text="When one job may be tried (the canary)."
    )
    breaker_opens = models.PositiveSmallIntegerField(
        default=0, help_text="Times it opened in a row; each doubles the pause."
    )
    breaker_reason = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"runner of {self.node.name}"


class QueueControl(models.Model):
    """One row: the pause switch, the position counter, the ledger, and the version that pages poll."""

    SINGLETON_ID = 1

    paused = models.BooleanField(default=False)
    pause_reason = models.CharField(max_length=300, blank=True)
    paused_by = models.CharField(max_length=150, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    next_position = models.BigIntegerField(default=1)
    key_fingerprint = models.CharField(
        max_length=32, blank=True, help_text="Of the secret key with which wake-ups are signed."
    )
    version = models.PositiveBigIntegerField(default=0)
    submitted = models.PositiveBigIntegerField(default=0)
    queued = models.PositiveBigIntegerField(default=0)
    running = models.PositiveBigIntegerField(default=0)
    completed = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    cancelled = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "queue control"
        constraints = (
            models.CheckConstraint(condition=Q(id=1), name="control_one_row"),
            models.CheckConstraint(
                condition=Q(
                    submitted=F("queued") + F("running") + F("completed") + F("failed") + F("cancelled")
                ),
                name="control_ledger_balances",
            ),
        )

    def __str__(self) -> str:
        return "queue control"
