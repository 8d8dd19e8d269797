"""Idle nodes of a kind take turns: when each was woken, and when it claimed last."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0014_lost_attempt"),
    ]

    operations = [
        migrations.AddField(
            model_name="runner",
            name="last_claim_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Of nodes of one kind, the one that has waited longest is next; empty = first.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="runner",
            name="woken_at",
            field=models.DateTimeField(blank=True, help_text="When it was last woken.", null=True),
        ),
    ]
