"""Fixtures of the tests that use the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from pytest_django import Settings

from tests.integration.chromium import chromium
from tests.integration.console import Console
from tests.promises import PATIENCE_S


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(capsys)


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    """Hashing that is slow on purpose would be most of the time of a test with users."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of a test is called slow because the machine is busy."""
    for module in ("webui.drivers.a1111.inspection", "webui.drivers.diffsynth.inspection"):
        monkeypatch.setattr(f"{module}.SLOW_S", PATIENCE_S)
    monkeypatch.setattr("webui.drivers.a1111.inspection.FACTS_WITHIN_S", PATIENCE_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a file; each opens a context of its own in it."""
    with chromium() as started:
        yield started
