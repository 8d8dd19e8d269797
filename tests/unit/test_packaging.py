"""What the code imports an installation brings, every folder of it is packaged, every version is pinned by name."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPS = ("stablenew_site", "diagnostics", "jobs", "webui")
DOCUMENT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = DOCUMENT["project"]
CONSTRAINTS = ("constraints.txt", "constraints-django6.txt")


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return canonical(found[0])


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


WORKER = ROOT / "webui/drivers/diffsynth/worker"
WORKER_CONSTRAINTS = "constraints-diffsynth.txt"


def imported_packages(folders: Iterable[Path], *, leave_out: Path | None = None) -> dict[str, str]:
    """Top-level packages of others that our code imports, and one file that does."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in folder.rglob("*.py"):
            if leave_out in path.parents:
                continue
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
        for name, path in imported_packages([ROOT / app for app in APPS], leave_out=WORKER).items()
        if not {canonical(owner) for owner in owners.get(name, [])} & (declared | brought)
    }
    assert missing == {}


def test_the_worker_imports_only_what_its_own_environment_has() -> None:
    pinned = {name_of(pin).replace("-", "_") for pin in pins_of(WORKER_CONSTRAINTS)}
    names = {{"PIL": "pillow"}.get(name, name) for name in imported_packages([WORKER])}
    assert names - pinned == set()
    assert not names & {"django", "pydantic"}


def test_the_worker_imports_of_us_only_what_needs_no_environment() -> None:
    ours = {
        node.module
        for path in WORKER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in APPS
    }
    assert {name for name in ours if not name.startswith("webui.drivers.diffsynth.worker")} == {
        "webui.work.fitting",
        "webui.work.limits",
    }


def test_every_folder_with_code_is_a_package_of_the_wheel() -> None:
    folders = {path.parent.relative_to(ROOT) for app in APPS for path in (ROOT / app).rglob("*.py")}
    code = {".".join(folder.parts) for folder in folders}
    # Missing here: add it to the packages in pyproject.toml.
    assert code | {"stablenew_site.templates"} == set(DOCUMENT["tool"]["setuptools"]["packages"])


def pins_of(name: str) -> list[str]:
    lines = (ROOT / ".ci" / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_constraints_differ_in_django_alone() -> None:
    first, second = (set(pins_of(name)) for name in CONSTRAINTS)
    assert [pin.rpartition(".")[0] for pin in first - second] == ["Django==5.2"]
    assert [pin.rpartition(".")[0] for pin in second - first] == ["Django==6.0"]


def test_the_workers_environment_is_pinned_by_name_and_plain_version() -> None:
    pins = pins_of(WORKER_CONSTRAINTS)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins), pins
    assert {"diffsynth==2.1.12", "torch==2.13.0"} <= set(pins)


@pytest.mark.parametrize("constraints", CONSTRAINTS)
def test_every_declared_package_is_pinned_by_name_and_version(constraints: str) -> None:
    pins = pins_of(constraints)
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
