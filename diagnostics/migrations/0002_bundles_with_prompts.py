"""Taking out a bundle with prompts is a permission of its own."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("diagnostics", "0001_failed_job"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="failedjob",
            options={
                "default_permissions": ("view",),
                "permissions": (("bundle_prompts", "Can take out bundles with prompts"),),
                "verbose_name": "failure",
            },
        ),
    ]
