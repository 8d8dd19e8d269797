"""What only this user may read is made so, whatever the umask; pictures and the WebUI keep that of the user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as current

from stablenew_site import environment
from stablenew_site.checks import check_private_files
from stablenew_site.data_folder import held, prepare
from stablenew_site.management.commands.up import _node_sentence
from stablenew_site.supervisor import Child, ChildSpec
from tests.factories import make_node
from webui.file_lock import FileLock
from webui.private_files import make_private_folder
from webui.processes.process import Identity, end, spawn
from webui.whole_file import write_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[0o022, 0o002, 0o000], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): mode(path) for path in sorted(folder.rglob("*"))}


def environment_in(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return {**kept, "STABLENEW_DATA_DIR": str(folder)}


def test_a_new_installation_is_closed_from_its_first_command_on(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "new" / "data"
    run = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(run, env=environment_in(folder), check=True, capture_output=True, cwd=ROOT)
    assert modes(tmp_path / "new") == {
        "data": 0o700,
        "data/secret-key": 0o600,
        "data/stablenew.sqlite3": 0o600,
    }


def test_side_files_of_the_database_are_closed_while_it_is_open(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "data"
    code = (
        "import django, os; django.setup(); from django.core.management import call_command;"
        "call_command('migrate', verbosity=0); from django.db import connection;"
        "connection.cursor().execute('CREATE TABLE x (y)'); print(sorted(os.listdir()))"
        ";print([oct(os.stat(name).st_mode & 0o777) for name in sorted(os.listdir())])"
    )
    env = {
        **environment_in(folder),
        "DJANGO_SETTINGS_MODULE": "stablenew_site.settings",
        "PYTHONPATH": str(ROOT),
    }
    make_private_folder(folder)
    run = subprocess.run(
        [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True, cwd=folder
    )
    names, found = run.stdout.splitlines()
    assert "stablenew.sqlite3-wal" in names
    assert set(found.strip("[]").replace("'", "").split(", ")) == {"0o600"}


def test_folders_locks_and_logs_are_closed(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "a" / "b"
    names = {"LOG": "logs", "PROCESS": "processes", "OUTPUT": "outputs"}
    for name, folder in names.items():
        monkeypatch.setattr(current, f"STABLENEW_{name}_DIR", data / folder)
    prepare(data)
    lock = FileLock(data / "processes" / "x.lock")
    child = Child(ChildSpec("child", [sys.executable, "-c", "print(1)"], data / "logs" / "web.log"))
    with held(data):
        lock.acquire()
        child.start(dict(os.environ), 0.0, print)
        assert child.process is not None
        child.process.wait()
        found = modes(tmp_path)
    lock.release()
    outputs = found.pop("a/b/outputs")
    assert outputs == 0o777 & ~umask
    assert {
        name for name, bits in found.items() if bits != (0o700 if (tmp_path / name).is_dir() else 0o600)
    } == set()


def test_a_webui_has_the_umask_of_the_user_and_its_logs_are_closed(tmp_path: Path, umask: int) -> None:
    told = "import os; m = os.umask(0); print(f'{m:03o}', flush=True); open('made', 'w').close()"
    identity = Identity(node_id=1, generation=1, nonce="abc")
    logs = tmp_path / "logs" / "node" / "boot-1"
    started = spawn(
        [sys.executable, "-c", told + "; import time; time.sleep(600)"],
        identity=identity,
        log_directory=logs,
        working_directory=str(tmp_path),
    )
    try:
        while not (logs / "stdout.log").read_text():
            time.sleep(0.02)
    finally:
        end(
            Identity(1, 1, "abc", pid=started.pid, start_ticks=started.start_ticks, boot_id=started.boot_id),
            grace_s=5,
        )
    assert (logs / "stdout.log").read_text().strip() == f"{umask:03o}"
    assert modes(tmp_path / "logs") == {
        "node": 0o700,
        "node/boot-1": 0o700,
        "node/boot-1/stderr.log": 0o600,
        "node/boot-1/stdout.log": 0o600,
    }


def test_pictures_have_the_modes_that_the_user_gives(tmp_path: Path, umask: int) -> None:
    write_file(tmp_path / "2026" / "1.png", b"picture")
    assert modes(tmp_path) == {"2026": 0o777 & ~umask, "2026/1.png": 0o666 & ~umask}


# --- an old installation ---------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = tmp_path / "old folder"
    for name in ("logs", "processes", "outputs"):
        (data / name).mkdir(parents=True, mode=0o755)
        monkeypatch.setattr(
            current, f"STABLENEW_{name.upper().rstrip('S')[:7]}_DIR", data / name, raising=False
        )
    monkeypatch.setattr(current, "STABLENEW_DATA_DIR", data)
    monkeypatch.setattr(current, "STABLENEW_LOG_DIR", data / "logs")
    monkeypatch.setattr(current, "STABLENEW_PROCESS_DIR", data / "processes")
    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(data / "stablenew.sqlite3")}
    monkeypatch.setattr(current, "DATABASES", {"default": engine})
    for name in (
        "stablenew.sqlite3",
        "stablenew.sqlite3-wal",
        "stablenew-20260101T000000Z-jobs.0003.sqlite3",
    ):
        (data / name).touch(mode=0o644)
    (data / "secret-key").touch(mode=0o600)
    return data


def test_an_old_installation_is_told_what_is_open_and_the_given_command_closes_it(old: Path) -> None:
    [warning] = check_private_files(None)
    assert warning.id == "site.W003"
    for name in ("stablenew.sqlite3", "stablenew.sqlite3-wal", "jobs.0003.sqlite3", "logs", "processes"):
        assert name in warning.msg
    assert "secret-key" not in warning.msg
    assert "outputs" not in warning.msg
    assert warning.hint is not None
    subprocess.run(warning.hint.partition("Close them: ")[2], shell=True, check=True)  # noqa: S602
    assert check_private_files(None) == []
    assert mode(old / "outputs") == 0o755


def test_a_data_folder_that_others_may_change_is_told(old: Path) -> None:
    subprocess.run(["chmod", "-R", "go-rwx", str(old)], check=True)
    old.chmod(0o775)
    [warning] = check_private_files(None)
    assert warning.id == "site.W004"
    assert warning.hint is not None
    subprocess.run(warning.hint.partition("Close it: ")[2], shell=True, check=True)  # noqa: S602
    assert check_private_files(None) == []


# --- asking makes nothing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [(), ("--help",), ("help", "up"), ("up", "--help"), ("node", "add", "-h"), ("version",)]
)
def test_who_only_asks_makes_no_data_folder(tmp_path: Path, words: tuple[str, ...]) -> None:
    env = environment_in(tmp_path / "none" / "data")
    run = [sys.executable, "manage.py", *words]
    done = subprocess.run(run, env=env, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])


def test_a_server_that_is_started_without_words_keeps_its_key(tmp_path: Path) -> None:
    """As by another WSGI server: only our own command line may ask for help."""
    first, second = environment.secret_key(tmp_path), environment.secret_key(tmp_path)
    assert first == second == (tmp_path / "secret-key").read_text()


@pytest.mark.django_db
def test_up_tells_the_command_of_a_node_without_its_passwords() -> None:
    node = make_node("near", start_command="env HF_TOKEN=hush7 webui.sh --api --api-auth ann:hush7")
    assert "“env HF_TOKEN=*** webui.sh --api --api-auth ***”" in _node_sentence(node)
