"""Where files cannot be written, no node takes a job; and wake-ups are signed with one key."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0005_kind_and_card"),
    ]

    operations = [
        migrations.AlterField(
            model_name="stageattempt",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("completed", "Completed"),
                    ("rejected", "Rejected by the WebUI"),
                    ("transient", "Transient refusal"),
                    ("server_error", "WebUI error"),
                    ("unavailable", "WebUI unavailable"),
                    ("bad_answer", "Bad answer"),
                    ("cancelled", "Cancelled"),
                    ("drained", "Interrupted and given back"),
                    ("error", "Error of ours"),
                    ("lost", "Worker lost"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="queuecontrol",
            name="key_fingerprint",
            field=models.CharField(
                blank=True, help_text="Of the secret key with which wake-ups are signed.", max_length=32
            ),
        ),
        migrations.AddField(
            model_name="runner",
            name="storage_reason",
            field=models.CharField(
                blank=True,
                help_text="Why files cannot be written here: no claim until they can.",
                max_length=300,
            ),
        ),
        migrations.AddField(
            model_name="runner",
            name="storage_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="job",
            name="owner",
            field=models.CharField(
                blank=True, help_text="host identity, pid and start ticks of the worker.", max_length=200
            ),
        ),
    ]
