"""The documents say what the code says: states, moves, events, settings, commands, names."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from jobs.checks import ENGINE
from jobs.lifecycle import TERMINAL, TRANSITIONS, EventType, JobStatus
from jobs.queue.summary import UnifiedJobSummary
from jobs.reading.event_sentences import TELLINGS, event_text
from stablenew_site.environment import DOCUMENTED

ROOT = Path(__file__).parents[2]
OUR_APPS = {"stablenew_site", "diagnostics", "jobs", "webui"}
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def table_rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading line, without the heading of the table."""
    table = text.split(heading, 1)[1].split("\n\n| ", 1)[1].split("\n\n")[0]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))] for line in table.splitlines()[2:]
    ]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_lifecycle_lists_every_state_and_which_of_them_end() -> None:
    rows = table_rows(read("docs/lifecycle.md"), "## States")
    assert {quoted(row[0])[0]: row[2] for row in rows} == {
        str(status): "yes" if status in TERMINAL else "no" for status in JobStatus
    }


def test_lifecycle_lists_every_move() -> None:
    text = read("docs/lifecycle.md")
    moves = re.findall(r"^\| `([A-Z]+)` \|((?: `[A-Z]+`,?)*) ?\|$", text, flags=re.MULTILINE)
    assert {source: set(quoted(targets)) for source, targets in moves} == {
        str(source): {str(target) for target in targets} for source, targets in TRANSITIONS.items()
    }


def event_examples() -> list[tuple[str, dict[str, Any]]]:
    found = re.findall(
        r"^### (\S+)\n\n[^`]+?(?:`[^`]+`[^`]+?)*```json\n(.+?)\n```", read("docs/lifecycle.md"), re.S | re.M
    )
    return [(name, json.loads(example)) for name, example in found]


def test_lifecycle_has_one_json_example_per_event_type() -> None:
    assert sorted(name for name, _ in event_examples()) == sorted(EventType.values)
    for name, data in event_examples():
        assert data["event_type"] == name
        assert isinstance(data["job_id"], int)


def test_every_event_type_has_a_sentence_of_its_own() -> None:
    assert list(TELLINGS) == list(EventType)
    told = [event_text(name, data) for name, data in event_examples()]
    assert all(re.fullmatch(r"\S.*\.", sentence) for sentence in told)
    assert len(set(told)) == len(EventType)
    assert all(event_text(name, {}) for name in EventType), "also of an event that lacks its facts"


def test_lifecycle_shows_the_fields_that_all_events_carry() -> None:
    example = re.search(r"### SUBMITTED.+?```json\n(.+?)\n```", read("docs/lifecycle.md"), re.S)
    assert example
    moving = {"status", "retry_count", "created_at", "completed_at"}
    fields = set(UnifiedJobSummary.__dataclass_fields__) - moving
    told = {name for name in fields if not name.endswith("_preview")}
    assert set(json.loads(example[1])) == told | {"event_type", "submission"}


def test_the_rule_of_the_queue_stands_in_the_lifecycle() -> None:
    rule = "The queue accepts only fully constructed NormalizedJobRecords, PromptPack-only."
    assert rule in read("docs/lifecycle.md")


def test_settings_equal_the_code_with_their_defaults() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) ?\| ", read("docs/settings.md"), flags=re.MULTILINE)
    said = {name: default.strip("`") for name, default in rows}
    code = dict(DOCUMENTED)
    for name in ("DATABASE_URL", "STABLENEW_DATA_DIR", "STABLENEW_SECRET_KEY"):
        # Their defaults are made, not written: words stand in the table.
        assert said.pop(name)
        code.pop(name)
    assert said == code


def test_architecture_shows_the_engines_settings() -> None:
    shown = quoted(" ".join(row[0] for row in table_rows(read("docs/architecture.md"), "## The engine")))
    assert set(ENGINE) - {"ALT_CLUSTERS"} <= set(shown)


def test_older_names_are_where_the_architecture_says() -> None:
    rows = table_rows(read("docs/architecture.md"), "## Names of the older program")
    there = [(quoted(row[0]), quoted(row[1])) for row in rows]
    assert len(there) >= 15
    for names, [place, *_] in there:
        for name in names:
            assert exists(name, place), f"{place} has no {name}"


def test_public_entries_are_there_and_tested() -> None:
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    for [name], [place, *_] in [
        (quoted(row[0]), quoted(row[1]))
        for row in table_rows(read("docs/architecture.md"), "## Public entries")
    ]:
        assert exists(name, place), f"{place} has no {name}"
        assert any(name in text for text in tests), f"no test has {name}"


def test_every_hop_of_the_architecture_is_there() -> None:
    hops = re.findall(r"^(\S+\.py):(\S+) -> (\S+\.py):(\S+)$", read("docs/architecture.md"), re.MULTILINE)
    assert len(hops) > 60
    for caller, calls, callee, called in hops:
        for file, name in ((caller, calls), (callee, called)):
            assert name.split(".<locals>")[0] in functions_of(file), f"{file} has no {name}"


@functools.cache
def functions_of(file: str) -> frozenset[str]:
    """Names of functions and methods as tracebacks have them; a dataclass is entered by no function of its file."""
    found = set()
    module = ast.parse(read(file))
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return frozenset(found)


def exists(name: str, place: str) -> bool:
    """Whether a name is what a module (or a class in one) offers: an attribute, an event type, or a file's name."""
    try:
        home: object = importlib.import_module(place.removesuffix(f".{name}"))
    except ModuleNotFoundError:
        module, _, attribute = place.rpartition(".")
        home = getattr(importlib.import_module(module), attribute)
    if name.startswith("QUEUE_JOB"):
        return name in EventType.values
    return hasattr(home, name) or name in vars(home).values()


def our_commands() -> dict[str, str]:
    return {name: app for name, app in get_commands().items() if app in OUR_APPS}


def test_readme_lists_every_command_of_ours() -> None:
    rows = table_rows(read("README.md"), "## Commands")
    listed = [quoted(row[0])[0].split()[0] for row in rows]
    assert sorted(listed) == sorted(our_commands())


@pytest.mark.parametrize("name", sorted(our_commands()))
def test_a_command_marked_with_a_star_has_json(name: str) -> None:
    rows = table_rows(read("README.md"), "## Commands")
    [row] = [row for row in rows if quoted(row[0])[0].split()[0] == name]
    parser = load_command_class(our_commands()[name], name).create_parser("manage.py", name)
    assert row[0].endswith("*") == ("--json" in parser.format_help())


@pytest.mark.parametrize("name", sorted(our_commands()))
def test_every_command_says_what_it_is_for(name: str) -> None:
    assert len(load_command_class(our_commands()[name], name).help) > 40


@pytest.mark.parametrize(("document", "least"), [("README.md", 7), ("docs/video.md", 4)])
def test_documents_show_commands_that_parse(document: str, least: int) -> None:
    shown = re.findall(
        r"^(?:\S+=\S+ |\S+=\"[^\"]+\" )?\.venv/bin/python manage\.py (.+)$", read(document), re.M
    )
    assert len(shown) >= least
    for line in shown:
        name, *words = shlex.split(line)
        load_command_class(our_commands()[name], name).create_parser("manage.py", name).parse_args(words)


def test_what_can_go_wrong_with_films_is_said_in_these_words() -> None:
    rows = table_rows(read("docs/video.md"), "## When something goes wrong")
    code = "".join(
        path.read_text(encoding="utf-8")
        for app in ("webui", "jobs")
        for path in sorted((ROOT / app).rglob("*.py"))
    )
    assert len(rows) > 10
    assert [row[0] for row in rows if quoted(row[0])[0] not in code] == []


def test_ci_runs_the_readmes_line_for_the_tests() -> None:
    line = "sh .ci/setup test && .venv/bin/python -m pytest"
    assert f"```sh\n{line}\n```" in read("README.md")
    assert f"\n{line}\n" in read(".ci/run")


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_folder_of_one_machine(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:root|home|work|tmp|Users)/\S*", text)
