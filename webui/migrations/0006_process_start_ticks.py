"""A process is known by its start ticks: a create time in seconds moves with the clock.

A WebUI that runs during the upgrade is known by the nonce in its environment.
"""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("webui", "0005_driver_kind_and_card")]

    operations = [
        migrations.RemoveField("node", "process_started_at"),
        migrations.AddField(
            "node",
            "process_start_ticks",
            models.BigIntegerField(
                null=True, blank=True, help_text="When it started, in clock ticks since the machine's boot."
            ),
        ),
    ]
