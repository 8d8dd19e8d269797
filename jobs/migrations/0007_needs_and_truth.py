"""What records need, which nodes lack it, and whether results are what was asked for."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0006_storage_and_signing_key"),
        ("webui", "0007_catalogs"),
    ]

    operations = [
        migrations.CreateModel(
            name="NeedSet",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sha256", models.CharField(max_length=64, unique=True)),
                ("document", models.TextField(help_text="JSON: [kind, name] pairs, sorted.")),
            ],
            options={
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.AddField(
            model_name="job",
            name="truth",
            field=models.CharField(
                blank=True,
                choices=[("verified", "Verified"), ("unproven", "Unproven"), ("drifted", "Drifted")],
                db_default="",
                default="",
                help_text="Whether its pictures are what was asked for; empty = not judged.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="needs",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="What a node must have to run it; empty = nobody has looked.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="jobs",
                to="jobs.needset",
            ),
        ),
        migrations.CreateModel(
            name="TruthCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[("verified", "Verified"), ("unproven", "Unproven"), ("drifted", "Drifted")],
                        max_length=10,
                    ),
                ),
                ("fields", models.JSONField(help_text="Per field: outcome, asked, used, who says so.")),
                ("rules", models.PositiveSmallIntegerField(help_text="Version of the rules that judged it.")),
                ("judged_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "output",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="checks",
                        to="jobs.outputimage",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="CheckpointTrouble",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("checkpoint", models.CharField(max_length=300)),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                (
                    "what",
                    models.CharField(blank=True, help_text='What happened, like "gave NaN".', max_length=100),
                ),
                ("held_at", models.DateTimeField(blank=True, null=True)),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="troubles", to="webui.node"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("node", "checkpoint"), name="trouble_once")],
            },
        ),
        migrations.CreateModel(
            name="NodeLack",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("missing", models.JSONField(help_text="What is missing: kind, name, nearest, why of each.")),
                ("known_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "needs",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lacks", to="jobs.needset"
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lacks", to="webui.node"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("node", "needs"), name="lack_once")],
            },
        ),
    ]
