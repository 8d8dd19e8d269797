"""What a process does not load that does not use it: most of a short command is what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Pages, the admin and their libraries; the decoder of films; what pack files are read with.
ONLY_OF_PAGES = {
    "stablenew_site.urls",
    "jobs.pages",
    "jobs.api",
    "ninja",
    "jobs.admin",
    "diagnostics.admin",
    "csp.utils",
}
NEEDLESS = ONLY_OF_PAGES | {"av", "rich", "jobs.building", "jobs.packs", "django_stubs_ext"}
#: What speaks to a server.
OF_DRIVERS = {"webui.drivers.a1111.driver", "webui.drivers.diffsynth.driver", "requests", "urllib3"}

COMMAND = """
import sys
from stablenew_site.__main__ import main
sys.argv = ["manage.py", *{words!r}]
try:
    main()
except SystemExit:
    pass
"""
NODE = """
import django
django.setup()
import jobs.management.commands.run_node
from webui.driver import import_drivers
import_drivers()
"""


def loaded(program: str, data: Path) -> set[str]:
    """The modules of a process of this installation that runs the program."""
    told = data / "modules.json"
    program += f"\nimport json, sys\nopen({str(told)!r}, 'w').write(json.dumps(list(sys.modules)))\n"
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "stablenew_site.settings",
        "DATABASE_URL": f"sqlite:///{data / 'stablenew.sqlite3'}",
        "STABLENEW_DATA_DIR": str(data),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(told.read_text()))


@pytest.mark.parametrize("words", [["queue", "status"], ["node", "list"]], ids=" ".join)
def test_a_command_that_looks_loads_neither_pages_nor_drivers(words: list[str], tmp_path: Path) -> None:
    modules = loaded(COMMAND.format(words=[*words, "--json"]), tmp_path)
    # It was the command that ran.
    assert f"jobs.management.commands.{words[0]}" in modules
    assert not (NEEDLESS | OF_DRIVERS) & modules


def test_a_node_loads_no_pages_and_decodes_no_film_before_there_is_one(tmp_path: Path) -> None:
    modules = loaded(NODE, tmp_path)
    assert modules >= OF_DRIVERS
    assert not (NEEDLESS - {"jobs.packs"}) & modules
