"""The history of one kind: the few films among many pictures are found without a look at the pictures."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0016_input_uses"),
        ("webui", "0007_catalogs"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["kind", "-finished_at", "-id"],
                name="job_history_by_kind",
            ),
        ),
    ]
