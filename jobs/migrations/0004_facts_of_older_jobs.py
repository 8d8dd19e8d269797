"""Jobs that are there already get what new ones are inserted with.

Apart from the indexes on purpose: PostgreSQL builds none in the transaction that changed the rows.
"""

from django.db import migrations, models
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce


def copy_facts(apps, schema_editor):
    jobs, records = apps.get_model("jobs", "Job"), apps.get_model("jobs", "JobRecord")
    record = records.objects.filter(pk=OuterRef("record_id"))
    user = record.values("submission__submitted_by__username")
    jobs.objects.update(
        pack_name=Subquery(record.values("pack_name")),
        checkpoint=Subquery(record.values("checkpoint")),
        queued_by=Coalesce(Subquery(user), models.Value("")),
    )
    rerun = jobs.objects.filter(rerun_of=OuterRef("pk"))
    jobs.objects.filter(~models.Exists(rerun), status="FAILED").update(needs_attention=True)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0003_lists_bulk_and_attention"),
    ]

    operations = [
        migrations.RunPython(copy_facts, migrations.RunPython.noop),
    ]
