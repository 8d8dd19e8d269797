from django.apps import AppConfig
from django.core.checks import register
from django.db.backends.signals import connection_created

from stablenew_site.checks import check_database, check_private_files, check_production
from stablenew_site.database_copy import copy_before_migrations
from stablenew_site.new_database import close_new_database
from webui.checks import SETTINGS


class SiteConfig(AppConfig):
    name = "stablenew_site"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "StableNew"

    def ready(self) -> None:
        register(check_database, SETTINGS)
        register(check_production, SETTINGS, deploy=True)
        register(check_private_files, SETTINGS)
        copy_before_migrations()
        connection_created.connect(close_new_database)
