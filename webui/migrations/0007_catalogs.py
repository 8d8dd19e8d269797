"""What a server had when it was last asked, kept over restarts."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("webui", "0006_process_start_ticks"),
    ]

    operations = [
        migrations.CreateModel(
            name="NodeCatalog",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "document",
                    models.TextField(blank=True, help_text="The catalog as JSON; empty = never read."),
                ),
                (
                    "dialect",
                    models.CharField(
                        blank=True, help_text="What kind of server it found itself to be.", max_length=32
                    ),
                ),
                ("generation", models.PositiveIntegerField(default=0, help_text="The boot that was asked.")),
                ("read_at", models.DateTimeField(blank=True, null=True)),
                (
                    "wanted_at",
                    models.DateTimeField(
                        blank=True, help_text="Somebody wants it read again; empty = nobody does.", null=True
                    ),
                ),
                ("wanted_because", models.CharField(blank=True, max_length=300)),
                (
                    "problem",
                    models.CharField(
                        blank=True, help_text="Why it could not be read last time.", max_length=300
                    ),
                ),
                (
                    "node",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="catalog", to="webui.node"
                    ),
                ),
            ],
        ),
    ]
