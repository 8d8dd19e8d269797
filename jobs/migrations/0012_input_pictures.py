"""Pictures that somebody gave, or results that became inputs: what films and edits are made of."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0011_pack_kind_and_origin"),
    ]

    operations = [
        migrations.CreateModel(
            name="InputPicture",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sha256", models.CharField(max_length=64, unique=True)),
                ("size_bytes", models.PositiveBigIntegerField()),
                ("width_px", models.PositiveIntegerField()),
                ("height_px", models.PositiveIntegerField()),
                (
                    "format",
                    models.CharField(help_text="By its content: PNG, JPEG, WEBP or AVIF.", max_length=8),
                ),
                (
                    "name",
                    models.CharField(help_text="The name of its file when it first came.", max_length=200),
                ),
                (
                    "by",
                    models.CharField(
                        blank=True,
                        help_text="Who gave it first; empty = a command.",
                        max_length=150,
                        verbose_name="uploaded by",
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="uploaded at")),
                (
                    "from_output",
                    models.ForeignKey(
                        blank=True,
                        help_text="The result that it is: no copy of it is kept.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="as_input",
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
    ]
