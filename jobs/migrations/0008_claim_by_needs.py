"""A node that lacks something claims by sets of needs; records that were rendered before are found by hash."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0007_needs_and_truth"),
        ("webui", "0007_catalogs"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="bulkaction",
            name="bulk_verb_known",
        ),
        migrations.RemoveConstraint(
            model_name="lifecycleevent",
            name="event_type_known",
        ),
        migrations.AddField(
            model_name="submission",
            name="runs_anyway",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Whoever submitted it knew that nodes lack something, and wants no hold for it.",
            ),
        ),
        migrations.AlterField(
            model_name="bulkaction",
            name="verb",
            field=models.CharField(
                choices=[
                    ("cancel", "Cancel"),
                    ("front", "Move to the front"),
                    ("back", "Move to the back"),
                    ("priority", "Change the priority"),
                    ("anyway", "Run anyway"),
                    ("retry", "Run again"),
                    ("dismiss", "Dismiss"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="needs",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="What a node must have to run it; empty = nobody has looked, or it shall run anyway.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="jobs",
                to="jobs.needset",
            ),
        ),
        migrations.AlterField(
            model_name="lifecycleevent",
            name="event_type",
            field=models.CharField(
                choices=[
                    ("SUBMITTED", "Submitted"),
                    ("QUEUED", "Queued"),
                    ("RUNNING", "Running"),
                    ("STAGE_STARTED", "Stage started"),
                    ("STAGE_COMPLETED", "Stage completed"),
                    ("QUEUE_JOB_WEBUI_CRASH_SUSPECTED", "WebUI crash suspected"),
                    ("WEBUI_RESTARTED", "WebUI restarted"),
                    ("RETRY_STARTED", "Retry started"),
                    ("QUEUE_JOB_WEBUI_RETRY_EXHAUSTED", "Retry exhausted"),
                    ("REQUEUED", "Requeued"),
                    ("COMPLETED", "Completed"),
                    ("FAILED", "Failed"),
                    ("CANCELLED", "Cancelled"),
                    ("MOVED", "Moved in the queue"),
                    ("RUNS_ANYWAY", "Runs anyway"),
                    ("DISMISSED", "Failure dismissed"),
                    ("ILLEGAL_TRANSITION", "Illegal transition refused"),
                ],
                max_length=40,
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", True)),
                fields=["needs", "kind", "status", "priority", "position", "id"],
                name="job_claim_by_needs",
            ),
        ),
        migrations.AddIndex(
            model_name="jobrecord",
            index=models.Index(fields=["sha256"], name="record_by_hash"),
        ),
        migrations.AddConstraint(
            model_name="bulkaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("verb__in", ["cancel", "front", "back", "priority", "anyway", "retry", "dismiss"])
                ),
                name="bulk_verb_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecycleevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "event_type__in",
                        [
                            "SUBMITTED",
                            "QUEUED",
                            "RUNNING",
                            "STAGE_STARTED",
                            "STAGE_COMPLETED",
                            "QUEUE_JOB_WEBUI_CRASH_SUSPECTED",
                            "WEBUI_RESTARTED",
                            "RETRY_STARTED",
                            "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED",
                            "REQUEUED",
                            "COMPLETED",
                            "FAILED",
                            "CANCELLED",
                            "MOVED",
                            "RUNS_ANYWAY",
                            "DISMISSED",
                            "ILLEGAL_TRANSITION",
                        ],
                    )
                ),
                name="event_type_known",
            ),
        ),
    ]
