"""Processes that StableNew starts of itself run the same code on the same data, wherever a person stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stablenew_site.children import command_line, environment, environment_of_another

ROOT = Path(__file__).parents[2]


def run(words: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        words, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def webuis_folder(tmp_path: Path) -> Path:
    """A folder with modules of our names, as that of a WebUI has."""
    for name in ("webui.py", "jobs.py"):
        (tmp_path / name).write_text("raise SystemExit('the folder where one stands')\n")
    return tmp_path


def test_the_folder_where_one_stands_hides_no_module(webuis_folder: Path) -> None:
    typed = [sys.executable, "-m", "stablenew_site", "version"]
    version = run(typed, webuis_folder, dict(os.environ))
    # For processes of ours not even another StableNew does.
    (webuis_folder / "stablenew_site.py").write_text("raise SystemExit('another one')\n")
    assert run(command_line("version"), webuis_folder, environment()) == version


def test_a_copy_of_the_checkout_starts_itself(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "stablenew_site").mkdir()
    (tmp_path / "stablenew_site" / "__init__.py").touch()
    (tmp_path / "stablenew_site" / "__main__.py").write_text("print('the copy')\n")
    settings.BASE_DIR = tmp_path
    assert run(command_line(), Path("/"), environment()) == "the copy\n"


def test_what_is_installed_adds_nothing_to_the_import_path(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.IN_CHECKOUT = False
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert "PYTHONPATH" not in environment()


def test_an_import_path_that_was_given_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/given")
    given = environment()["PYTHONPATH"]
    assert given == os.pathsep.join([str(ROOT), "/given"])
    monkeypatch.setenv("PYTHONPATH", given)
    assert environment()["PYTHONPATH"] == given


def test_another_installation_gets_no_setting_of_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STABLENEW_WEBUI_URL", "http://127.0.0.1:7860")
    monkeypatch.setenv("DATABASE_URL", "postgres://user@127.0.0.1/name")
    env = environment_of_another(tmp_path)
    assert env["STABLENEW_DATA_DIR"] == str(tmp_path)
    assert {"STABLENEW_WEBUI_URL", "DATABASE_URL"} & env.keys() == set()
