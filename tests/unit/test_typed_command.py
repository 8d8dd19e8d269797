"""A hint names the command as it is typed here, and every hint asks the one place that knows."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.template import engines

from stablenew_site.children import environment
from webui.typed_command import PROGRAM_VARIABLE, typed

ROOT = Path(__file__).parents[2]
APPS = ("stablenew_site", "diagnostics", "jobs", "webui")


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("manage.py", "python manage.py up"),
        ("/srv/checkout/manage.py", "python manage.py up"),
        ("/opt/venv/bin/stablenew", "stablenew up"),
        ("stablenew.exe", "stablenew up"),
        ("/opt/venv/lib/python3.12/site-packages/stablenew_site/__main__.py", "python -m stablenew_site up"),
    ],
)
def test_command_is_named_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, script: str, command: str) -> None:
    monkeypatch.setattr(sys, "argv", [script, "serve"])
    assert typed("up") == command


@pytest.mark.parametrize(("in_checkout", "command"), [(True, "python manage.py up"), (False, "stablenew up")])
def test_another_servers_process_goes_by_where_the_code_lies(
    monkeypatch: pytest.MonkeyPatch, settings: Any, in_checkout: bool, command: str
) -> None:
    settings.IN_CHECKOUT = in_checkout
    monkeypatch.setattr(sys, "argv", ["/usr/bin/gunicorn"])
    assert typed("up") == command
    monkeypatch.setattr(sys, "argv", ["/somewhere/gunicorn/__main__.py"])
    assert typed("up") == command


def test_our_own_processes_name_what_was_typed_to_start_the_first_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/venv/bin/stablenew", "up"])
    given = environment()[PROGRAM_VARIABLE]
    monkeypatch.setattr(sys, "argv", ["/opt/venv/lib/stablenew_site/__main__.py", "serve"])
    monkeypatch.setenv(PROGRAM_VARIABLE, given)
    assert typed("up") == "stablenew up"


def test_pages_name_it_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/venv/bin/stablenew", "serve"])
    page = engines["django"].from_string('{% load webui_display %}{% typed "run_node" name %}')
    assert page.render({"name": "gpu<1>"}) == "stablenew run_node gpu&lt;1&gt;"


def strings_of(path: Path) -> Iterator[str]:
    """The strings of a module that somebody may read while it runs: all but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


def test_no_hint_names_a_program_by_itself() -> None:
    modules = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    texts = {str(path): "\n".join(strings_of(path)) for path in modules}
    texts |= {str(path): path.read_text(encoding="utf-8") for path in (ROOT / "templates").rglob("*.*")}
    programs = re.compile(r"manage\.py|-m stablenew_site|\bstablenew (?:up|demo|[a-z_]+ [A-Z]+)")
    naming = {path for path, text in texts.items() if programs.search(text)}
    assert naming == {str(ROOT / "webui" / "typed_command.py")}
