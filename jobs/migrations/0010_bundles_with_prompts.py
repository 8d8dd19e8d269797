"""Jobs remember who took their prompts and requests out in a bundle."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0009_truth_policy"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="lifecycleevent",
            name="event_type_known",
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
                    ("BUNDLED_WITH_PROMPTS", "Prompts handed out"),
                    ("ILLEGAL_TRANSITION", "Illegal transition refused"),
                ],
                max_length=40,
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
                            "BUNDLED_WITH_PROMPTS",
                            "ILLEGAL_TRANSITION",
                        ],
                    )
                ),
                name="event_type_known",
            ),
        ),
    ]
