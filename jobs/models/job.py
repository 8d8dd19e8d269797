"""The job: the one row that moves. What happened to it stands in `history`, what was sent for it in `attempts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property

from jobs.lifecycle import TERMINAL, JobStatus, Priority, TruthPolicy, TruthVerdict
from jobs.models.fitness import NeedSet
from jobs.models.submissions import JobRecord
from webui.kinds import WorkKind
from webui.models import Node

if TYPE_CHECKING:
    from jobs.models.attempts import OutputImage

#: Sorted, so that a migration sees the same constraint in every process.
TERMINAL_VALUES = sorted(str(status) for status in TERMINAL)


class Job(models.Model):
    """The one moving row. Only `jobs.queue.moves` and `jobs.queue.claims` change its status."""

    record = models.ForeignKey(JobRecord, on_delete=models.PROTECT, related_name="jobs")
    rerun_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="reruns"
    )
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL)
    position = models.BigIntegerField()

    # Never change after the insert; copied from the record and the submission so that lists filter without a join.
    pack_name = models.CharField(max_length=200, blank=True)
    checkpoint = models.CharField(max_length=300, blank=True)
    kind = models.CharField(
        max_length=8,
        choices=WorkKind,
        default=WorkKind.IMAGE,
        db_default=WorkKind.IMAGE,
        help_text="What it asks for: only nodes that take this kind run it.",
    )
    queued_by = models.CharField(max_length=150, blank=True, help_text="Who submitted it or ran it again.")

    truth_policy = models.CharField(
        max_length=6,
        blank=True,
        default="",
        db_default="",
        choices=TruthPolicy,
        help_text="What becomes of pictures that are not as asked; empty = as this installation is set.",
    )

    needs = models.ForeignKey(
        NeedSet,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="jobs",
        db_index=False,
        help_text="What a node must have to run it; empty = nobody has looked, or it shall run anyway.",
    )
    truth = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        choices=TruthVerdict,
        help_text="Whether its pictures are what was asked for; empty = not judged.",
    )

    retry_count = models.PositiveSmallIntegerField(default=0)
    operator_requeues = models.PositiveIntegerField(default=0)
    retry_after = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="Id of the last attempt before the retry was granted; later ones are the retry.",
    )
    take = models.PositiveSmallIntegerField(
        default=1,
        help_text="Goes up when the job starts again at its first stage; only the last counts.",
    )
    idle_claims = models.PositiveSmallIntegerField(
        default=0, help_text="Claims whose worker was lost before anything was started."
    )

    node = models.ForeignKey(
        Node,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="jobs",
        help_text="Where it runs, or ran last.",
    )
    card = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Graphics card of that node when it was claimed; empty = a card of its own.",
    )
    owner = models.CharField(
        max_length=200, blank=True, help_text="host identity, pid and start ticks of the worker."
    )
    run_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_sequence = models.PositiveIntegerField(default=0, help_text="Of its newest event.")
    current_stage = models.CharField(max_length=20, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.CharField(max_length=150, blank=True)

    submitted_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True, help_text="First claim.")
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True, help_text="The UnifiedErrorEnvelope of a failed job.")
    error_code = models.CharField(max_length=50, blank=True, help_text="The envelope's code, for lists.")
    needs_attention = models.BooleanField(
        default=False, help_text="It failed, and nobody has run it again or dismissed it since."
    )

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="job_status_known"),
            models.CheckConstraint(condition=Q(priority__in=Priority.values), name="job_priority_known"),
            models.CheckConstraint(condition=Q(retry_count__in=(0, 1)), name="job_retry_at_most_once"),
            models.CheckConstraint(
                condition=Q(status__in=TERMINAL_VALUES, finished_at__isnull=False)
                | (~Q(status__in=TERMINAL_VALUES) & Q(finished_at__isnull=True)),
                name="job_finished_exactly_when_terminal",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=JobStatus.RUNNING,
                    run_token__isnull=False,
                    lease_until__isnull=False,
                    node__isnull=False,
                )
                & ~Q(owner="")
                | ~Q(status=JobStatus.RUNNING)
                & Q(run_token__isnull=True, lease_until__isnull=True, owner=""),
                name="job_owned_exactly_when_running",
            ),
            models.UniqueConstraint(
                fields=("node",), condition=Q(status=JobStatus.RUNNING), name="job_one_running_per_node"
            ),
            models.UniqueConstraint(
                fields=("card",),
                condition=Q(status=JobStatus.RUNNING) & ~Q(card=""),
                name="job_one_running_per_card",
            ),
        )
        indexes = (
            # The claim: a full index on purpose. Beside any other index that begins with status, SQLite's
            # planner would sort all queued rows instead of walking a partial one.
            models.Index(fields=("status", "kind", "priority", "position", "id"), name="job_claim_order"),
            # The queue's list of all kinds. The claim does not name its condition: where most jobs are of one kind,
            # PostgreSQL would walk this index for it, past all that wait of other kinds.
            models.Index(
                fields=("status", "priority", "position", "id"),
                name="job_queue_order",
                condition=Q(finished_at__isnull=True),
            ),
            # Partial: a job that waits or runs costs these indexes nothing, and no planner takes one of them for it.
            models.Index(
                fields=("-finished_at", "-id"),
                name="job_history_order",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=("status", "-finished_at", "-id"),
                name="job_history_by_status",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=("pack_name", "-finished_at", "-id"),
                name="job_history_by_pack",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=("kind", "-finished_at", "-id"),
                name="job_history_by_kind",
                condition=Q(finished_at__isnull=False),
            ),
            # And here one that has ended. The condition is no `status = 'QUEUED'`, which SQLite's planner cannot
            # see in a query whose status is a parameter.
            models.Index(
                fields=("pack_name", "status", "priority", "position", "id"),
                name="job_queue_by_pack",
                condition=Q(finished_at__isnull=True),
            ),
            # The claim of a node that lacks something: the head of each set of needs, none that has ended among them.
            models.Index(
                fields=("needs", "kind", "status", "priority", "position", "id"),
                name="job_claim_by_needs",
                condition=Q(finished_at__isnull=True),
            ),
            # Failures that wait for a person: grouped by cause without reading the rows, and as a list.
            models.Index(
                fields=("error_code", "finished_at", "id"),
                name="job_attention",
                condition=Q(needs_attention=True),
            ),
            models.Index(
                fields=("-finished_at", "-id"), name="job_attention_order", condition=Q(needs_attention=True)
            ),
            # Failures, newest first, all or of one cause.
            models.Index(
                fields=("error_code", "-id"), name="job_failures_by_cause", condition=~Q(error_code="")
            ),
            # By verdict: those that drifted are few among many.
            models.Index(
                fields=("truth", "-finished_at", "-id"),
                name="job_history_by_truth",
                condition=Q(finished_at__isnull=False),
            ),
            # With what the failure list filters by, so that a filter that leaves few walks no rows.
            models.Index(
                fields=("-id", "pack_name", "node"), name="job_failures", condition=~Q(error_code="")
            ),
        )

    def __str__(self) -> str:
        return f"job {self.pk}"

    @cached_property
    def results(self) -> list[OutputImage]:
        """The accepted pictures of the present take, in order of stage and picture."""
        return list(self.outputs.filter(take=self.take))
