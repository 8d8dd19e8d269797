"""Jobs say which kind of node they need and, while they run, which graphics card they use."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Q


class AddColumn(migrations.AddField):
    """One ALTER TABLE on every database, also on SQLite, where Django would copy a million jobs for such a column.

    Only for a field whose default is a `db_default`.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = from_state.apps.get_model(app_label, self.model_name)
        field = to_state.apps.get_model(app_label, self.model_name)._meta.get_field(self.name)
        BaseDatabaseSchemaEditor.add_field(schema_editor, model, field)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0004_facts_of_older_jobs"),
        ("webui", "0005_driver_kind_and_card"),
    ]

    operations = [
        AddColumn(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=[("image", "Images"), ("i2v", "Image to video"), ("edit", "Edits")],
                db_default="image",
                default="image",
                help_text="What it asks for: only nodes that take this kind run it.",
                max_length=8,
            ),
        ),
        AddColumn(
            model_name="job",
            name="card",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Graphics card of that node when it was claimed; empty = a card of its own.",
                max_length=64,
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                condition=Q(status="RUNNING") & ~Q(card=""),
                fields=("card",),
                name="job_one_running_per_card",
            ),
        ),
        migrations.RemoveIndex(model_name="job", name="job_claim_order"),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                fields=["status", "kind", "priority", "position", "id"], name="job_claim_order"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=Q(finished_at__isnull=True),
                fields=["status", "priority", "position", "id"],
                name="job_queue_order",
            ),
        ),
    ]
