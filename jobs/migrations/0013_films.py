"""Results may be films: their frames, rate, duration and poster."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class AddColumn(migrations.AddField):
    """One ALTER TABLE on every database, also on SQLite, where Django would copy all results for such a column.

    Only for a field that may be empty or whose default is a `db_default`.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = from_state.apps.get_model(app_label, self.model_name)
        field = to_state.apps.get_model(app_label, self.model_name)._meta.get_field(self.name)
        BaseDatabaseSchemaEditor.add_field(schema_editor, model, field)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0012_input_pictures"),
    ]

    operations = [
        AddColumn(
            model_name="outputimage",
            name="frames",
            field=models.PositiveIntegerField(
                blank=True, help_text="Of a film; empty for a picture.", null=True
            ),
        ),
        AddColumn(
            model_name="outputimage",
            name="fps",
            field=models.FloatField(blank=True, help_text="Of a film: frames per second.", null=True),
        ),
        AddColumn(
            model_name="outputimage",
            name="duration_s",
            field=models.FloatField(blank=True, help_text="Of a film.", null=True),
        ),
        AddColumn(
            model_name="outputimage",
            name="poster_path",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of a film: its first frame as a picture, relative to the output folder.",
                max_length=500,
            ),
        ),
    ]
