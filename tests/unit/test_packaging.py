"""What the code imports is what an installation without extras brings, and every version is pinned by name."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

ROOT = Path(__file__).parents[2]
APPS = ("stablenew_site", "diagnostics", "jobs", "webui")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return canonical(found[0])


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_packages() -> dict[str, str]:
    """Top-level packages of others that our code imports, and one file that does."""
    found: dict[str, str] = {}
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                for name in names:
                    found.setdefault(name.partition(".")[0], str(path.relative_to(ROOT)))
    return {name: path for name, path in found.items() if name not in {*sys.stdlib_module_names, *APPS}}


def test_code_imports_only_what_an_installation_without_extras_brings() -> None:
    declared = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    # What a declared package is made on may be used: urllib3 comes with requests.
    brought = {
        name_of(requirement)
        for name in declared
        for requirement in requires(name) or ()
        if "extra ==" not in requirement
    }
    owners = packages_distributions()
    missing = {
        name: path
        for name, path in imported_packages().items()
        if not {canonical(owner) for owner in owners.get(name, [])} & (declared | brought)
    }
    assert missing == {}


def test_every_declared_package_is_pinned_by_name_and_version() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins), pins
    pinned = {name_of(pin) for pin in pins}
    extras = PROJECT["optional-dependencies"].values()
    declared = {name_of(r) for group in (PROJECT["dependencies"], *extras) for r in group}
    assert declared - pinned == set()
    needed = {
        name_of(requirement)
        for name in declared
        for requirement in requires(name) or ()
        if ";" not in requirement
    }
    assert needed - pinned == set()
