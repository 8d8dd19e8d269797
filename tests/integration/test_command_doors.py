"""What commands are given, and when: words that are no text, numbers beyond a database, one that is not ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.models import QueueControl
from tests.factories import make_pack
from tests.integration.console import Console

NO_TEXT = "b\udcff"
HUGE = "9" * 400

# A command closes its connections at the end, and with them a transaction around the test.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "keep.txt"
    path.write_text("a keep\nneg: low\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("submit_pack", NO_TEXT),
        ("submit_pack", "PACK", "--key", NO_TEXT),
        ("submit_pack", "PACK", "--preset", NO_TEXT),
        ("submit_pack", "PACK", "--set", f"txt2img.model={NO_TEXT}"),
        ("submit_pack", "PACK", "--matrix", f"a={NO_TEXT}"),
        ("submit_pack", "PACK", "--rows", NO_TEXT),
        ("export_pack", NO_TEXT),
        ("node", "add", NO_TEXT, "http://127.0.0.1:7999"),
        ("node", "add", "a", "http://127.0.0.1:7999", "--folder", f"/tmp/{NO_TEXT}"),
        ("node", "logs", NO_TEXT),
        ("jobs", "list", "--pack", NO_TEXT),
        ("jobs", "show", NO_TEXT),
        ("queue", "front", NO_TEXT),
        ("queue", "pause", "--reason", NO_TEXT),
        ("run_node", NO_TEXT),
    ],
)
def test_a_word_that_is_no_text_is_refused_in_words(
    console: Console, pack: Path, words: tuple[str, ...]
) -> None:
    assert console.run(*(str(pack) if word == "PACK" else word for word in words)) == 2
    assert "\\udcff" in console.err
    assert "Traceback" not in console.err


def test_a_file_whose_name_is_no_text_is_told_by_name_and_the_others_can_be_imported(
    console: Console, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"fold\xff")
    folder.mkdir()
    for name in ("fine.txt", os.fsdecode(b"bad\xfe.txt")):
        (folder / name).write_text("a keep\nneg: low\n", encoding="utf-8")
    assert console.run("import_pack", folder) == 1
    assert "bad\\udcfe.txt is not UTF-8; rename the file." in console.err
    assert console.run("import_pack", "--keep-going", folder) == 1
    assert "bad\\udcfe.txt is not UTF-8" in console.out, console.err
    document = console.json("import_pack", "--keep-going", folder, expect=1)
    assert [one["name"] for one in document["packs"]] == ["fine"]
    assert console.run("submit_pack", folder / "fine.txt", "--dry-run") == 0
    assert console.run("export_pack", "fine", "--to", folder / "out") == 0
    assert "fold\\udcff" in console.out


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "show", HUGE),
        ("jobs", "explain", str(2**63)),
        ("queue", "front", str(2**63)),
        ("jobs", "list", "--limit", HUGE),
        ("node", "logs", "a", "--lines", HUGE),
        ("submit_pack", "PACK", "--repeat", HUGE),
    ],
)
def test_a_number_beyond_a_database_is_refused_in_words(
    console: Console, pack: Path, words: tuple[str, ...]
) -> None:
    assert console.run(*(str(pack) if word == "PACK" else word for word in words)) == 2
    assert "not a whole number of at least 1" in console.err
    assert len(console.err.splitlines()[-1]) < 200


@pytest.mark.parametrize(
    "setting",
    [
        "txt2img.steps",
        "txt2img.width",
        "txt2img.cfg_scale",
        "pipeline.loop_count",
        "matrix.limit",
        "txt2img.seed",
    ],
)
@pytest.mark.parametrize("value", [HUGE, f"-{HUGE}", "1" * 4_299, "1" * 5_000])
def test_a_setting_beyond_all_numbers_is_refused_by_name(
    console: Console, pack: Path, setting: str, value: str
) -> None:
    assert console.run("submit_pack", pack, "--dry-run", "--set", f"{setting}={value}") == 1
    assert f"{setting} is " in console.err


def test_combinations_beyond_all_numbers_are_refused(console: Console, tmp_path: Path) -> None:
    slots = [
        {"name": f"s{number}", "values": [str(value) for value in range(100)]} for number in range(1_000)
    ]
    pack = tmp_path / "many.txt"
    pack.write_text(" ".join(f"[[s{number}]]" for number in range(1_000)), encoding="utf-8")
    matrix = {"pack_data": {"matrix": {"enabled": True, "slots": slots}}}
    pack.with_suffix(".json").write_text(json.dumps(matrix), encoding="utf-8")
    for limit in ((), ("--limit", "3")):
        assert console.run("submit_pack", pack, *limit) == 1
        assert "its slots make 1e+100 combinations or more; use fewer slots or values." in console.err


# --- a database that is not ready --------------------------------------------------------------------------

COMMANDS = (
    "submit_pack PACK",
    "submit_pack --dry-run keep",
    "import_pack PACK",
    "export_pack keep",
    "queue status",
    "queue pause",
    "queue front 1",
    "queue clear --yes",
    "node list",
    "node add a http://127.0.0.1:7999",
    "node logs a",
    "jobs list",
    "jobs show 1",
    "jobs explain 1",
    "jobs cancel 1",
    "jobs retry 1",
    "doctor",
    "run_node z",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_before_the_last_step_of_a_migration_every_command_answers_in_words(
    console: Console, pack: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are made; the row that every database has comes last."""
    # Some of them write into the current folder, and `tmp_path` has a pack of that name.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    make_pack("keep")
    QueueControl.objects.all().delete()
    words = command.replace("PACK", str(pack)).split()
    code = console.run(*words)
    assert code in (0, 1, 2)
    if "not prepared" in console.err:
        assert code == 1


RUNNER = """
import sys, io, json, contextlib
from django.core.management import execute_from_command_line
import django
for words in json.loads(sys.argv[1]):
    sys.argv = ["manage.py", *words]
    from stablenew_site.__main__ import main
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        told = "0"
    except SystemExit as exc:
        told = str(exc.code)
    except BaseException as exc:
        told = f"RAISED {type(exc).__name__}: {exc}"
    print(json.dumps([words, told, out.getvalue()[-300:], err.getvalue()[-300:]]))
"""


@pytest.mark.parametrize(
    "migrated", [(), (("webui", "0001"),), (("jobs", "0001"),), (("webui", None), ("jobs", "0003"))]
)
def test_at_any_step_of_a_migration_every_command_answers_in_words(
    tmp_path: Path, pack: Path, migrated: tuple[tuple[str, str | None], ...]
) -> None:
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    env |= {"STABLENEW_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(Path(__file__).parents[2])}
    for app, name in migrated:
        # Where not all apps are there yet, what comes after a migration fails, as when it is cut short.
        words = ["manage.py", "migrate", app, *([name] if name else []), "-v0"]
        subprocess.run(
            [sys.executable, *words], env=env, capture_output=True, check=False, cwd=env["PYTHONPATH"]
        )
    commands = [command.replace("PACK", str(pack)).split() for command in COMMANDS]
    run = [sys.executable, "-c", RUNNER, json.dumps(commands)]
    done = subprocess.run(run, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(COMMANDS)
    assert [answer for answer in answers if answer[1].startswith("RAISED")] == []
    told = [
        answer for answer in answers if "not prepared yet, or it is being upgraded" in answer[1] + answer[3]
    ]
    assert len(told) >= 4
