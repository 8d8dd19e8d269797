"""Where data goes when nobody says it: beside a checkout's work, or to the user who runs what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from stablenew_site.environment import DOCUMENTED, data_folder


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("stablenew_site.environment.DOCUMENTED", dict(DOCUMENTED))
    for name in ("STABLENEW_DATA_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_a_checkout_keeps_its_data_where_one_stands(tmp_path: Path) -> None:
    assert data_folder(in_checkout=True) == tmp_path / "var"


def test_what_is_installed_keeps_its_data_with_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_home = tmp_path / "home" / ".local" / "share" / "stablenew"
    assert data_folder(in_checkout=False) == at_home
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert data_folder(in_checkout=False) == tmp_path / "data" / "stablenew"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert data_folder(in_checkout=False) == at_home


@pytest.mark.parametrize("in_checkout", [True, False])
def test_the_setting_decides_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_checkout: bool
) -> None:
    monkeypatch.setenv("STABLENEW_DATA_DIR", "~/here")
    assert data_folder(in_checkout=in_checkout) == tmp_path / "home" / "here"


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLENEW_DATA_DIR", "~nobody-of-this-name/data")
    with pytest.raises(ImproperlyConfigured, match="STABLENEW_DATA_DIR"):
        data_folder(in_checkout=False)
