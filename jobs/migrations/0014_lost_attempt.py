"""A runner knows the request that goes on although the process which had sent it is gone."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0013_films"),
    ]

    operations = [
        migrations.AddField(
            model_name="runner",
            name="lost_attempt",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="A request that goes on although its process is gone: the next claim takes its job up.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="jobs.stageattempt",
            ),
        ),
    ]
