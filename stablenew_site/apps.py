from django.apps import AppConfig
from django.core.checks import register

from stablenew_site.checks import check_database, check_production
from stablenew_site.database_copy import copy_before_migrations


class SiteConfig(AppConfig):
    name = "stablenew_site"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "StableNew"

    def ready(self) -> None:
        register(check_database)
        register(check_production, deploy=True)
        copy_before_migrations()
