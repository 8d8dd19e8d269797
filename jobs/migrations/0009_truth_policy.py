"""What becomes of pictures that are not as asked, by submission and job; and jobs by the verdict on theirs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0007_needs_and_truth"),
        ("webui", "0007_catalogs"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="truth_policy",
            field=models.CharField(
                blank=True,
                choices=[("mark", "Mark it"), ("retry", "Retry once, then fail"), ("fail", "Fail the job")],
                db_default="",
                default="",
                help_text="What becomes of pictures that are not as asked; empty = as this installation is set.",
                max_length=6,
            ),
        ),
        migrations.AddField(
            model_name="submission",
            name="truth_policy",
            field=models.CharField(
                blank=True,
                choices=[("mark", "Mark it"), ("retry", "Retry once, then fail"), ("fail", "Fail the job")],
                db_default="",
                default="",
                help_text="What becomes of pictures that are not as asked; empty = as this installation is set.",
                max_length=6,
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["truth", "-finished_at", "-id"],
                name="job_history_by_truth",
            ),
        ),
    ]
