from django.apps import AppConfig
from django.core.checks import register

from webui import driver
from webui.checks import SETTINGS, check_webui_settings


class WebUIConfig(AppConfig):
    name = "webui"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(check_webui_settings, SETTINGS)
        driver.register_folders("webui.drivers", [f"{self.path}/drivers"])
