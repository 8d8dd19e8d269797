"""Pictures by their bytes: whether one that somebody gives was made here."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0017_history_by_kind"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="outputimage",
            index=models.Index(
                condition=models.Q(("frames__isnull", True)),
                fields=["sha256"],
                name="output_by_hash",
            ),
        ),
    ]
