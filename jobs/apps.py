from typing import Any

from django.apps import AppConfig
from django.apps import apps as default_apps
from django.core.checks import register
from django.db.models.signals import post_migrate

from jobs.checks import check_breaker, check_deadlines, check_engine, check_truth
from webui.checks import SETTINGS


class JobsConfig(AppConfig):
    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        for check in (check_engine, check_deadlines, check_breaker, check_truth):
            register(check, SETTINGS)
        post_migrate.connect(make_queue_control, sender=self)


def make_queue_control(sender: JobsConfig, using: str, apps: Any = default_apps, **kwargs: Any) -> None:
    """The one row of QueueControl, after every migration and flush; `apps` are the tables as they are by now."""
    table = apps.get_model("jobs", "QueueControl")
    table._default_manager.using(using).get_or_create(pk=1)
