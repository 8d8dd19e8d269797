"""`node add --config` and `node change --config`: a worker as its file describes it; and the command that starts it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from webui.drivers.diffsynth.starting import LAUNCHER
from webui.models import Node, NodeState, Wish
from webui.nodes.adding import add_node, command_words

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shell:
    """`node` as typed."""

    capsys: pytest.CaptureFixture[str]

    def add(self, *words: object, exits: int = 0) -> dict[str, Any]:
        return self._document("add", words, exits)

    def change(self, *words: object, exits: int = 0) -> dict[str, Any]:
        return self._document("change", words, exits)

    def told(self, *words: str) -> str:
        """What a person reads."""
        call_command("node", *words, skip_checks=True)
        return self.capsys.readouterr().out

    def _document(self, verb: str, words: tuple[object, ...], exits: int) -> dict[str, Any]:
        code: object = 0
        try:
            call_command("node", verb, *map(str, words), "--json", skip_checks=True)
        except SystemExit as exc:
            code = exc.code
        assert code == exits
        document: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return document


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "films.json")


def written(path: Path, **changes: Any) -> Path:
    """The configuration of a worker of films; no file that it names is there, and nobody looks for them yet."""
    document = {
        "kind": "i2v",
        "name": "wan2.2",
        "device": "cuda:1",
        "files": {"dit": ["a.safetensors", "b.safetensors"], "dit2": "c", "text_encoder": "d", "vae": "e"},
        "tokenizer": "tokenizer",
        "python": sys.executable,
        "card": "gpu1",
        **changes,
    }
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return path


def refused(shell: Shell, *words: object) -> str:
    (error,) = shell.add("films", "http://127.0.0.1:7870", *words, exits=1)["errors"]
    assert error["code"] == "node_refused"
    assert not Node.objects.exists()
    return str(error["message"])


def test_a_node_is_as_its_file_says(shell: Shell, file: Path) -> None:
    added = shell.add("films", "http://127.0.0.1:7870", "--config", file)
    assert (added["driver"], added["kind"], added["card"], added["managed"]) == (
        "diffsynth",
        "i2v",
        "gpu1",
        True,
    )
    node = Node.objects.get()
    words = [sys.executable, "-P", str(LAUNCHER), "--config", str(file), "--port", "7870", "--with-parent"]
    assert command_words(node) == words
    assert shlex.split(node.start_command) == words
    assert node.working_directory == str(file.parent)


def test_a_toml_file_and_a_python_beside_it_will_do(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "edits.toml").write_text(
        'kind = "edit"\nname = "qwen"\nprocessor = "processor"\npython = "python"\n'
        '[files]\ndit = "a"\ntext_encoder = "b"\nvae = "c"\n'
    )
    shell.add("edits", "http://127.0.0.1:7871", "--config", tmp_path / "edits.toml")
    node = Node.objects.get()
    assert (node.kind, node.card) == ("edit", "")
    assert command_words(node)[0] == str(tmp_path / "python")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"python": None}, "python must name the interpreter"),
        ({"python": "nowhere/python"}, "where no interpreter is"),
        ({"kind": "music"}, "kind must be one of i2v, edit"),
        ({"colour": "red"}, "Unknown: colour"),
        ({"registry": "tiny"}, "registry names a Python module to run"),
        ({"shim": "tiny"}, "--allow-modules"),
    ],
)
def test_a_file_that_is_wrong_is_refused(
    shell: Shell, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    file = written(tmp_path / "films.json", **changes)
    said = refused(shell, "--config", file)
    assert sentence in said
    assert str(file) in said


def test_modules_are_run_only_where_the_command_allows_them(shell: Shell, tmp_path: Path) -> None:
    file = written(tmp_path / "films.json", registry="tiny")
    shell.add("films", "http://127.0.0.1:7870", "--config", file, "--allow-modules")
    assert command_words(Node.objects.get())[-1] == "--allow-modules"
    assert (
        "Give --config FILE"
        in shell.add("other", "http://127.0.0.1:7871", "--allow-modules", exits=1)["errors"][0]["message"]
    )


def test_what_the_file_says_is_not_said_twice(shell: Shell, file: Path) -> None:
    assert "takes the place of --kind and --card" in refused(
        shell, "--config", file, "--kind", "i2v", "--card", "gpu0"
    )
    assert "no configuration file" in refused(shell, "--config", file, "--driver", "a1111")
    assert "cannot be read" in refused(shell, "--config", file.with_name("missing.toml"))


def test_an_address_that_is_none_is_refused_before_the_file_is_read(shell: Shell, file: Path) -> None:
    (error,) = shell.add("films", "gpu", "--config", file, exits=1)["errors"]
    assert "It looks like http://127.0.0.1:7860" in error["message"]


# --- the launcher -----------------------------------------------------------------------------------------


def launched(folder: Path, *words: str, program: str) -> subprocess.CompletedProcess[str]:
    """The launcher in an interpreter that sees nothing of ours, in another folder."""
    worker = folder / "webui/drivers/diffsynth/worker"
    worker.mkdir(parents=True)
    for package in (folder / "webui", folder / "webui/drivers", folder / "webui/drivers/diffsynth", worker):
        (package / "__init__.py").touch()
    (worker / "__main__.py").write_text(program)
    (folder / "webui/drivers/diffsynth/requests.py").write_text("raise RuntimeError('not the library')\n")
    launcher = folder / "webui/drivers/diffsynth/start_worker.py"
    launcher.write_text(LAUNCHER.read_text())
    return subprocess.run(
        [sys.executable, "-P", str(launcher), *words],
        cwd=folder,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


SEES = "import sys, json, webui; print(json.dumps([sys.argv[1:], sys.path, webui.__file__]))\n"


def test_the_launcher_brings_our_package_and_nothing_beside_it(tmp_path: Path) -> None:
    done = launched(tmp_path, "--port", "1", program=SEES)
    assert done.returncode == 0, done.stderr
    words, path, package = json.loads(done.stdout)
    assert words == ["--port", "1"]
    assert package == str(tmp_path / "webui/__init__.py")
    assert not [folder for folder in path if str(tmp_path) in folder or str(ROOT) == folder]


def test_the_folder_of_modules_comes_last_and_only_where_they_are_allowed(tmp_path: Path) -> None:
    done = launched(tmp_path, "--allow-modules", program=SEES)
    _, path, _ = json.loads(done.stdout)
    assert path[-1] == str(tmp_path)


def test_modules_of_this_package_do_not_hide_libraries(tmp_path: Path) -> None:
    done = launched(tmp_path, program="import requests; print(requests.__version__)\n")
    assert done.returncode == 0, done.stderr


# --- node change --config --------------------------------------------------------------------------------


def change_refused(shell: Shell, *words: object) -> str:
    (error,) = shell.change(*words, exits=1)["errors"]
    assert error["code"] == "node_refused"
    return str(error["message"])


@pytest.fixture
def worker(shell: Shell, file: Path) -> Node:
    """A node of films that is ready."""
    shell.add("films", "http://127.0.0.1:7870", "--config", file)
    Node.objects.update(state=NodeState.READY, generation=3)
    return Node.objects.get()


def test_a_changed_file_changes_the_node_and_its_worker_reads_it_after_its_job(
    shell: Shell, worker: Node, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    written(file, card="gpu0", python="python", registry="tiny")
    changed = shell.change("films", "--config", file, "--allow-modules")
    assert (changed["kind"], changed["card"], changed["wish"]) == ("i2v", "gpu0", Wish.RESTART)
    node = Node.objects.get()
    words = command_words(node)
    assert (words[0], words[-1]) == (str(tmp_path / "python"), "--allow-modules")
    assert words[words.index("--port") + 1] == "7870"
    assert (node.base_url, node.wish_generation, node.wish_after_job) == (worker.base_url, 3, True)


def test_what_only_the_worker_reads_makes_it_start_anew_too(shell: Shell, worker: Node, file: Path) -> None:
    written(file, name="wan2.2-lightning")
    assert "reads the file then" in shell.told("change", "films", "--config", str(file))
    assert Node.objects.get().wish == Wish.RESTART


def test_a_stopped_worker_reads_the_file_when_it_is_started(
    shell: Shell, worker: Node, tmp_path: Path
) -> None:
    Node.objects.update(state=NodeState.STOPPED)
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other/films.json", card=None)
    told = shell.told("change", "films", "--config", str(other), "--folder", "/tmp")
    assert "on a card of its own" in told
    assert "at its next start" in told
    node = Node.objects.get()
    assert (node.wish, node.card, node.working_directory) == ("", "", "/tmp")
    assert str(other) in command_words(node)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--kind", "edit"), "takes the place of --kind."),
        (("--card", "gpu0"), "takes the place of --card."),
        (("--url", "http://127.0.0.1:7871"), "by its command"),
    ],
)
def test_a_change_by_a_file_is_checked_as_an_addition_is(
    shell: Shell, worker: Node, file: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in change_refused(shell, "films", "--config", file, *words)
    assert "Unknown: colour" in change_refused(shell, "films", "--config", written(file, colour="red"))
    assert "--allow-modules" in change_refused(shell, "films", "--config", written(file, shim="tiny"))
    assert "Give --config FILE" in change_refused(shell, "films", "--allow-modules")
    assert "Give --config FILE" in change_refused(shell, "films", "--folder", "elsewhere")
    node = Node.objects.get()
    assert (node.start_command, node.card, node.wish) == (worker.start_command, worker.card, "")


def test_only_a_worker_that_we_start_takes_a_file(shell: Shell, file: Path) -> None:
    add_node("attached", "http://h:1", kind="i2v")
    assert "Somebody else keeps" in change_refused(shell, "attached", "--config", file)
    add_node("picture", "http://h:2", start_command="./webui.sh")
    assert "no configuration file" in change_refused(shell, "picture", "--config", file)
    add_node("stand-in", "http://h:3", start_command="./sim", simulated=True, kind="i2v")
    assert "is simulated" in change_refused(shell, "stand-in", "--config", file)
