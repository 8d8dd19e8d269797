"""A wheel of StableNew in an empty virtual environment, used where no checkout is in reach."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.e2e.stack import listens
from tests.free_ports import free_port
from tests.promises import PATIENCE_S

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
APPS = ("stablenew_site", "diagnostics", "jobs", "webui")
#: What a build sees of the checkout; the tests, to see that they stay out.
PARTS = (*APPS, "templates", "tests", "pyproject.toml", "README.md")
#: The demo may take as long as its own deadlines say.
DEMO_S = 500.0
BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def run(
    command: list[str], folder: Path, env: dict[str, str] | None = None, timeout_s: float = PATIENCE_S
) -> str:
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*words: object, folder: Path) -> None:
    """This environment's pip, which asks no index."""
    options = ["--isolated", "--disable-pip-version-check", "--quiet"]
    run([sys.executable, "-m", "pip", *options, *map(str, words)], folder)


def built(source: Path, into: Path) -> Path:
    """The wheel of a folder or a source archive."""
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", into, source, folder=into.parent)
    [wheel] = into.glob("stablenew-*.whl")
    return wheel


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, because a build writes beside its sources."""
    copy = tmp_path_factory.mktemp("build") / "checkout"
    copy.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / part, copy / part)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return built(checkout, checkout.parent / "wheel")


def content(wheel: Path) -> set[str]:
    """What a wheel installs, without what it says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_wheel_holds_the_four_apps_with_their_data_and_the_templates_and_nothing_else(
    checkout: Path, wheel: Path
) -> None:
    expected = {f"{app}/{file}" for app in APPS for file in files_below(checkout / app)}
    expected |= {f"stablenew_site/templates/{file}" for file in files_below(checkout / "templates")}
    found = content(wheel)
    assert found == expected
    for place in (
        "stablenew_site/templates/jobs/queue.html",
        "stablenew_site/static/js/app.js",
        "stablenew_site/static/js/new.js",
        "jobs/samples/harbour_walk.txt",
        "webui/simulator/data/a1111/options.json",
        "webui/migrations/0001_initial.py",
    ):
        assert place in found
    assert not [name for name in found if name.startswith("tests/")]


def test_a_source_archive_makes_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    run([sys.executable, "-c", BUILD_SDIST, str(tmp_path / "archives")], checkout)
    [archive] = (tmp_path / "archives").iterdir()
    with tarfile.open(archive) as members:
        assert not [name for name in members.getnames() if "/stablenew_site/templates/" in name]
    assert content(built(archive, tmp_path / "wheel")) == content(wheel)


@dataclass(frozen=True)
class Installed:
    """The wheel in a virtual environment, the user who has it, and the empty folder where they stand."""

    scripts: Path
    packages: Path
    home: Path
    here: Path
    env: dict[str, str]

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "stablenew"

    def stablenew(self, *words: str, timeout_s: float = PATIENCE_S) -> str:
        return run([str(self.scripts / "stablenew"), *words], self.here, self.env, timeout_s)

    def living(self) -> list[psutil.Process]:
        """Every process of this user; zombies are none."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                mine = process.environ().get("HOME") == str(self.home)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Iterator[Installed]:
    place = tmp_path / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(place)], tmp_path)
    pip("--python", place / "bin" / "python", "install", "--no-index", "--no-deps", wheel, folder=tmp_path)
    [packages] = place.glob("lib/python*/site-packages")
    before = files_below(packages)
    # What others made is borrowed from this environment. A folder named in a .pth file is not searched for
    # further .pth files, so that an editable installation of ours stays behind.
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    home, here, temporary = (tmp_path / name for name in ("home", "here", "temporary"))
    for folder in (home, here, temporary):
        folder.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temporary), "LANG": "C.UTF-8"}
    user = Installed(place / "bin", packages, home, here, env)
    try:
        yield user
        assert list(here.iterdir()) == [], "nothing is left where one stands"
        written = {name for name in files_below(packages) - before if not name.endswith(".pyc")}
        assert written == {"borrowed.pth"}, "nothing is written beside the code"
        wait_until(lambda: not user.living(), "nothing runs any more")
    finally:
        for process in user.living():
            with contextlib.suppress(psutil.Error):
                process.kill()
                process.wait(30)


def wait_until(holds: Any, what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.1)


def test_installed_code_comes_from_the_wheel(installed: Installed) -> None:
    program = f"import json, {', '.join(APPS)}; print(json.dumps([m.__file__ for m in ({', '.join(APPS)})]))"
    files = json.loads(run([str(installed.scripts / "python"), "-c", program], installed.here, installed.env))
    assert files == [str(installed.packages / app / "__init__.py") for app in APPS]


def test_demo_survives_a_death_and_ends_with_completed_jobs_pictures_and_nothing_left(
    installed: Installed,
) -> None:
    document = json.loads(installed.stablenew("demo", "--json", timeout_s=DEMO_S))
    assert document["completed"] is True
    assert {job["status"] for job in document["jobs"]} == {"COMPLETED"}
    assert [job["record"].get("kind", "image") for job in document["jobs"]] == ["image"] * 5 + ["i2v", "edit"]
    assert document["webui_starts"] == 2
    assert len(document["retried"]) == 1
    assert sorted(job["retry_count"] for job in document["jobs"]) == [0, 0, 0, 0, 0, 0, 1]
    [crashed] = [job for job in document["jobs"] if job["retry_count"]]
    left = {path for attempt in crashed["stage_attempts"] for path in attempt["artifact_paths"]}
    assert {Path(path).name for path in left} == {"stage_failure_payload.json", "webui_tail.log"}
    folder = Path(document["folder"])
    assert folder.is_relative_to(installed.env["TMPDIR"])
    for path in left:
        assert (folder / "outputs" / path).is_file()
    for job in document["jobs"]:
        assert job["outputs"]
        for output in job["outputs"]:
            assert Path(output["path"]).is_file()
            assert Path(output["path"]).is_relative_to(folder)
    picture = document["jobs"][0]["outputs"][-1]
    for job in document["jobs"][5:]:
        assert [one["sha256"] for one in job["record"]["inputs"]] == [picture["sha256"]]
    [film, edit] = [Path(job["outputs"][0]["path"]) for job in document["jobs"][5:]]
    assert (film.suffix, edit.suffix) == (".mp4", ".png")
    assert [entry.name for entry in folder.iterdir()] == ["outputs"]
    # That nothing of it runs any more is what the fixture looks at.


def test_up_runs_from_the_wheel_on_the_users_own_data_and_pages_say_stablenew(
    installed: Installed, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "up.log"
    with open(log, "wb") as output:
        up = subprocess.Popen(
            [str(installed.scripts / "stablenew"), "up", "--port", str(port)],
            cwd=installed.here,
            env=installed.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        nodes = ("simulator", "simulator-edits", "simulator-films")
        ready = [f"Node {name} (simulated) is READY" for name in nodes]
        wait_until(
            lambda: up.poll() is not None or (all(one in log.read_text() for one in ready) and listens(port)),
            "up",
        )
        assert up.poll() is None, log.read_text()
        assert f"Data folder: {installed.data}" in log.read_text()

        page = requests.get(f"http://127.0.0.1:{port}/accounts/login/", timeout=PATIENCE_S)
        assert "stablenew changepassword NAME" in page.text
        for file in ("css/base.css", "js/app.js", "django_htmx/htmx-2.min.js", "icons.svg"):
            static = requests.get(f"http://127.0.0.1:{port}/static/{file}", timeout=PATIENCE_S)
            assert static.status_code == 200, file

        found = json.loads(installed.stablenew("queue", "status", "--json"))["nodes"]
        assert sorted((node["name"], node["state"]) for node in found) == [(name, "READY") for name in nodes]
    finally:
        up.send_signal(signal.SIGTERM)
        code = up.wait(PATIENCE_S)
    assert code == 0, log.read_text()
    assert (installed.data / "stablenew.sqlite3").is_file()
