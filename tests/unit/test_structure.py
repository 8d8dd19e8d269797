"""The structure as a reader meets it: one public class name for each idea, files of a size that one reads."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPS = ("stablenew_site", "diagnostics", "jobs", "webui")
#: Names that Django or argparse look for.
EXPECTED = {"Command", "Media", "Meta"}
MAX_LINES = 350


def sources() -> list[Path]:
    files = (file for app in APPS for file in (ROOT / app).rglob("*.py"))
    return sorted(file for file in files if "migrations" not in file.parts)


def test_every_public_class_name_means_one_thing() -> None:
    places = defaultdict(set)
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(str(file.relative_to(ROOT)))
    twice = {name: sorted(files) for name, files in places.items() if len(files) > 1}
    assert not {name: files for name, files in twice.items() if name not in EXPECTED}


def test_no_file_grows_beyond_what_one_reads() -> None:
    long = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in sources()}
    assert not {name: lines for name, lines in long.items() if lines > MAX_LINES}


def test_every_room_says_what_it_is_for() -> None:
    rooms = [file for app in APPS[1:] for file in (ROOT / app).rglob("*/__init__.py")]
    plumbing = {"migrations", "management", "commands", "templatetags"}
    silent = [
        str(room.parent.relative_to(ROOT))
        for room in rooms
        if room.parent.name not in plumbing and not ast.get_docstring(ast.parse(room.read_text()))
    ]
    assert not silent


@pytest.mark.parametrize(
    ("file", "planted"),
    [
        ("jobs/records/record.py", "from jobs.pages import forms as forms"),
        ("webui/http/retry.py", "from webui.keeper.keeper import memory as memory"),
        ("webui/keeper/memory.py", "from webui.drivers.a1111 import client as client"),
    ],
)
def test_an_upward_import_breaks_the_contracts(tmp_path: Path, file: str, planted: str) -> None:
    for app in APPS:
        shutil.copytree(ROOT / app, tmp_path / app, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = [
        sys.executable,
        "-P",
        "-c",
        "from importlinter.cli import lint_imports_command as lint; lint()",
    ]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    whole = (tmp_path / file).read_text()
    (tmp_path / file).write_text(f"{whole}\n{planted}\n")
    broken = subprocess.run(
        [*command, "--no-cache"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert planted.split()[1] in broken.stdout
