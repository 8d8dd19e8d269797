"""Packs say what their rows make, and whether a file or a form gave them. All that exist are files of pictures."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0010_bundles_with_prompts"),
    ]

    operations = [
        migrations.AddField(
            model_name="promptpack",
            name="kind",
            field=models.CharField(
                choices=[("image", "Images"), ("i2v", "Image to video"), ("edit", "Edits")],
                db_default="image",
                default="image",
                help_text="What its rows make.",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="promptpack",
            name="origin",
            field=models.CharField(
                choices=[("file", "Files"), ("form", "A form")],
                db_default="file",
                default="file",
                max_length=4,
            ),
        ),
    ]
