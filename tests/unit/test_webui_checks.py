"""Settings of WebUI servers that cannot work are named at start, each with its id and what to give."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from webui.checks import check_webui_settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("STABLENEW_WEBUI_URL", "127.0.0.1:7860", "webui.E001"),
        ("STABLENEW_WEBUI_AUTH", "nocolon", "webui.E002"),
        ("STABLENEW_WEBUI_AUTH", ":nouser", "webui.E002"),
        ("STABLENEW_WEBUI_COMMAND", "webui.sh --name 'open", "webui.E003"),
        ("STABLENEW_SIMULATOR_OPTIONS", '--checkpoint "open', "webui.E004"),
        ("STABLENEW_WEBUI_RESTART_COMMAND", "systemctl restart 'open", "webui.E003"),
        ("STABLENEW_WEBUI_RESTART_COMMAND", "systemctl restart webui", "webui.E003"),
        ("STABLENEW_LOG_MAX_BYTES", 50_000, "webui.E005"),
        ("STABLENEW_SETTLE_S", -1.0, "webui.E005"),
        ("STABLENEW_READY_TIMEOUT_S", 0.0, "webui.E005"),
    ],
)
def test_wrong_setting_is_an_error_with_an_id_and_a_hint(
    settings: Settings, name: str, value: Any, expected: str
) -> None:
    setattr(settings, name, value)
    (error,) = check_webui_settings(None)
    assert error.id == expected
    assert name in error.msg
    assert error.hint


def test_credentials_are_not_repeated(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_AUTH = "mysecret"
    (error,) = check_webui_settings(None)
    assert "mysecret" not in f"{error.msg} {error.hint}"


def test_right_settings_pass(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL = "http://127.0.0.1:7860"
    settings.STABLENEW_WEBUI_AUTH = "user:pass:word"
    settings.STABLENEW_WEBUI_COMMAND = "./webui.sh --api --port 7860"
    assert check_webui_settings(None) == []
    settings.STABLENEW_WEBUI_COMMAND = ""
    settings.STABLENEW_WEBUI_RESTART_COMMAND = "systemctl restart webui"
    assert check_webui_settings(None) == []
