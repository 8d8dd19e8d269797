"""`import_pack` and `submit_pack`: what they store, print and refuse, and their exit codes."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from jobs.models import Job, JobRecord, PackRevision, PromptPack, Submission
from tests.integration.console import Console

pytestmark = pytest.mark.django_db(transaction=True)

ROOMY = "a [[place]] at dusk\nneg: fog\n"


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A folder with a plain pack of two rows, one with a slot, and one with a broken token."""
    (tmp_path / "plain.txt").write_text("a castle\nneg: fog\n\na ship\nneg: rain\n")
    (tmp_path / "roomy.txt").write_text(ROOMY)
    return tmp_path


def test_import_stores_packs_and_tells_oddities_with_their_lines(console: Console, tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_text("a castle\nneg: fog\nrain\n")
    document = console.json("import_pack", tmp_path)
    [pack] = document["packs"]
    assert (pack["name"], pack["rows"], pack["revision"], pack["created"]) == ("odd", 1, 1, True)
    assert [(w["pack"], w["line"]) for w in document["warnings"]] == [("odd", 3)]
    assert document["errors"] == []
    assert console.json("import_pack", tmp_path)["packs"][0]["created"] is False
    assert PackRevision.objects.count() == 1


def test_import_of_one_unreadable_pack_imports_none_and_names_it(console: Console, packs: Path) -> None:
    (packs / "bad.txt").write_bytes(b"a castle \xff\xfe\n")
    document = console.json("import_pack", packs, expect=1)
    assert [error["pack"] for error in document["errors"]] == ["bad"]
    assert "UTF-8" in document["errors"][0]["message"]
    assert not PromptPack.objects.exists()
    kept = console.json("import_pack", packs, "--keep-going", expect=1)
    assert sorted(pack["name"] for pack in kept["packs"]) == ["plain", "roomy"]
    assert PromptPack.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("latin.txt", "ch\xe2teau".encode("latin-1"), "UTF-8"),
        ("wide.txt", "a castle".encode("utf-16"), "UTF-16"),
        ("broken.json", b'{"pack_data": ', "not valid JSON"),
        ("null.txt", b"a\0b", "NUL"),
        ("picture.png", b"", "no pack"),
        (None, b"", "does not exist"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(
    console: Console, tmp_path: Path, name: str | None, content: bytes, words: str
) -> None:
    path = tmp_path / (name or "missing.txt")
    if name:
        path.write_bytes(content)
    for command in ("import_pack", "submit_pack"):
        assert console.run(command, path) == 1
        assert console.out == ""
        assert len(console.err.strip().splitlines()) == 1
        assert words in console.err
        assert path.name in console.err
    assert not PromptPack.objects.exists()


def test_submission_by_path_imports_and_queues_and_reports_all_of_it(console: Console, packs: Path) -> None:
    document = console.json("submit_pack", packs / "plain.txt", "--seed", 7)
    assert set(document) >= {
        "submission", "jobs", "images", "job_ids", "record_hashes", "warnings", "errors",
    }  # fmt: skip
    assert (document["jobs"], document["images"], document["build_seed"]) == (2, 2, 7)
    stored = Job.objects.order_by("id").values_list("id", "record__sha256")
    assert list(stored) == list(zip(document["job_ids"], document["record_hashes"], strict=True))
    assert Submission.objects.get().pk == document["submission"]


def test_same_seed_makes_the_same_hashes_and_another_seed_others(console: Console, packs: Path) -> None:
    first, again, other = (
        console.json("submit_pack", packs / "plain.txt", "--seed", seed)["record_hashes"]
        for seed in (7, 7, 8)
    )
    assert first == again
    assert not set(first) & set(other)


def test_dry_run_tells_what_would_be_made_and_changes_nothing(console: Console, packs: Path) -> None:
    words = ["submit_pack", packs / "roomy.txt", "--matrix", "place=forest,castle", "--seed", 3]
    dry = console.json(*words, "--dry-run")
    assert (dry["jobs"], dry["submission"], dry["job_ids"]) == (2, None, [])
    assert not PromptPack.objects.exists()
    assert not Submission.objects.exists()
    assert console.json(*words)["record_hashes"] == dry["record_hashes"]


def test_table_shows_rows_times_matrix_times_repeat_for_every_pack(console: Console, packs: Path) -> None:
    words = ["--matrix", "place=a,b,c", "--repeat", "2", "--dry-run"]
    assert console.run("submit_pack", packs / "plain.txt", packs / "roomy.txt", *words) == 0
    cells = [line.split() for line in console.out.splitlines()]
    assert ["plain", "2", "1", "1", "2", "4", "4"] in cells
    assert ["roomy", "1", "3", "1", "2", "6", "6"] in cells
    assert "10 records, 10 pictures" in console.out


def test_one_bad_pack_of_twenty_queues_nothing_and_is_named(console: Console, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"pack{number:02}.txt").write_text("a [[place]]\n" if number == 13 else "a castle\n")
    document = console.json("submit_pack", tmp_path, expect=1)
    assert [(error["pack"], error["row"], error["field"]) for error in document["errors"]] == [
        ("pack13", 1, "place")
    ]
    assert (document["submission"], document["jobs"], document["job_ids"]) == (None, 0, [])
    assert not PromptPack.objects.exists()
    assert not Job.objects.exists()


def test_keep_going_queues_the_good_packs_and_exits_1(console: Console, packs: Path) -> None:
    document = console.json("submit_pack", packs, packs / "missing.txt", "--keep-going", expect=1)
    assert document["jobs"] == 2
    assert [error["pack"] for error in document["errors"]] == ["missing", "roomy"]
    assert set(JobRecord.objects.values_list("pack_name", flat=True)) == {"plain"}
    assert set(PromptPack.objects.values_list("name", flat=True)) == {"plain"}


def test_options_reach_the_records(console: Console, packs: Path) -> None:
    words = ["--rows", "2", "--set", "txt2img.steps=4", "--repeat", "3", "--run-now", "--priority", "high"]
    console.json("submit_pack", packs / "plain.txt", *words)
    records = [json.loads(row.canonical_json) for row in JobRecord.objects.order_by("id")]
    assert [record["prompt_pack_row_index"] for record in records] == [1, 1, 1]
    assert [record["batch_index"] for record in records] == [0, 1, 2]
    assert {(record["steps"], record["queue_source"]) for record in records} == {(4, "RUN_NOW")}
    assert {job.get_priority_display() for job in Job.objects.all()} == {"High"}


def test_limit_bounds_the_records_of_all_packs_together(console: Console, packs: Path) -> None:
    words = ["--matrix", "place=a,b,c", "--limit", "3", "--seed", "1"]
    document = console.json("submit_pack", packs / "plain.txt", packs / "roomy.txt", *words)
    assert [(pack["pack"], pack["records"]) for pack in document["packs"]] == [("plain", 2), ("roomy", 1)]
    assert document["jobs"] == 3


def test_a_pack_behind_the_limit_is_still_judged(console: Console, packs: Path) -> None:
    document = console.json("submit_pack", packs / "plain.txt", packs / "roomy.txt", "--limit", 1, expect=1)
    assert [error["pack"] for error in document["errors"]] == ["roomy"]


def test_more_than_the_cap_is_refused_before_anything_is_built(
    console: Console, packs: Path, settings: Any
) -> None:
    settings.STABLENEW_MAX_RECORDS = 5
    document = console.json("submit_pack", packs / "plain.txt", "--repeat", 3, expect=1)
    assert "6" in document["errors"][0]["message"]
    assert not PromptPack.objects.exists()
    assert console.json("submit_pack", packs / "plain.txt", "--repeat", 3, "--limit", 5)["jobs"] == 5


def test_the_same_key_twice_makes_one_submission(console: Console, packs: Path) -> None:
    first = console.json("submit_pack", packs / "plain.txt", "--key", "night")
    again = console.json("submit_pack", packs / "plain.txt", "--key", "night")
    assert (first["created"], again["created"]) == (True, False)
    assert first["job_ids"] == again["job_ids"]
    assert Job.objects.count() == 2


@pytest.mark.parametrize("change", ["content", "options"])
def test_the_same_key_for_another_request_is_refused(console: Console, packs: Path, change: str) -> None:
    path = packs / "plain.txt"
    console.json("submit_pack", path, "--key", "night")
    words = ["--repeat", "2"] if change == "options" else []
    if change == "content":
        path.write_text("something else\n")
    document = console.json("submit_pack", path, "--key", "night", *words, expect=1)
    assert document["errors"][0]["code"] == "conflict"
    assert (Job.objects.count(), PackRevision.objects.count()) == (2, 1)


@pytest.mark.parametrize(
    "words",
    [
        ["--rows", "0"],
        ["--rows", "a"],
        ["--set", "steps"],
        ["--matrix", "place"],
        ["--repeat", "0"],
        ["--limit", "-1"],
        ["--seed", "x"],
        ["--priority", "urgent"],
        ["--unknown"],
    ],
    ids=" ".join,
)
def test_bad_arguments_exit_2_and_are_told_in_the_json_too(
    console: Console, packs: Path, words: list[str]
) -> None:
    assert console.run("submit_pack", packs / "plain.txt", *words) == 2
    assert console.out == ""
    document = console.json("submit_pack", packs / "plain.txt", *words, expect=2)
    assert [error["code"] for error in document["errors"]] == ["arguments"]
    assert document["errors"][0]["message"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "txt2img.width=513"], "8"),
        (["--set", "txt2img.steps=0"], "steps"),
        (["--set", "pipeline.video_enabled=true"], "video"),
        (["--set", "txt2img.nonsense=1"], "nonsense"),
        (["--rows", "9"], "9"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_rendered_is_refused_in_one_sentence(
    console: Console, packs: Path, words: list[str], told: str
) -> None:
    assert console.run("submit_pack", packs / "plain.txt", *words) == 1
    assert console.out == ""
    assert told in console.err
    assert not Job.objects.exists()


def test_a_pack_that_is_nowhere_is_refused_by_name(console: Console) -> None:
    document = console.json("submit_pack", "castles", expect=1)
    assert [(error["code"], error["pack"]) for error in document["errors"]] == [("unknown_pack", "castles")]


def test_two_files_of_one_name_and_different_content_are_refused(console: Console, packs: Path) -> None:
    (packs / "other").mkdir()
    (packs / "other" / "plain.txt").write_text("another castle\n")
    document = console.json("submit_pack", packs / "plain.txt", packs / "other" / "plain.txt", expect=1)
    assert document["errors"][0]["code"] == "ambiguous"
    assert not PromptPack.objects.exists()


def test_a_dry_run_shows_the_very_records_that_the_submission_right_after_it_makes(
    console: Console, tmp_path: Path
) -> None:
    path = tmp_path / "keep.txt"
    path.write_text("a keep\nneg: low\n", encoding="utf-8")
    seen = []
    for _ in range(2):
        shown = console.json("submit_pack", path, "--dry-run")
        assert console.json("submit_pack", path, "--dry-run")["build_seed"] == shown["build_seed"]
        queued = console.json("submit_pack", path)
        assert (queued["build_seed"], queued["record_hashes"]) == (
            shown["build_seed"],
            shown["record_hashes"],
        )
        seen.append(shown["build_seed"])
    assert seen[0] != seen[1]
    keyed = console.json("submit_pack", path, "--dry-run", "--key", "a")
    assert console.json("submit_pack", path, "--key", "a")["record_hashes"] == keyed["record_hashes"]


def test_import_in_another_format_makes_rows_with_their_settings(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text('--prompt "a pier" --steps 30\n--prompt "a mill" --tiling true\n')
    as_pack = console.json("import_pack", path)
    assert "option_lines" in [warning["code"] for warning in as_pack["warnings"]]
    document = console.json("import_pack", path, "--format", "a1111")
    (pack,) = document["packs"]
    assert (pack["rows"], pack["revision"], pack["not_taken"]) == (
        2,
        2,
        ["line 2: --tiling is no setting of a row here; left out."],
    )
    dry = console.json("submit_pack", "lines", "--dry-run")
    assert dry["jobs"] == 2
    assert console.run("import_pack", path, "--format", "a1111") == 0
    assert "lines: line 2: --tiling" in console.out
    path.write_text("# nothing\n")
    assert console.run("import_pack", path, "--format", "lines") == 1
    assert "no prompt in the format lines" in console.err


def test_two_files_of_one_name_are_not_imported_over_each_other(console: Console, tmp_path: Path) -> None:
    for folder, name in (("one", "château"), ("two", unicodedata.normalize("NFD", "château"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.txt").write_text(folder)
    assert console.run("import_pack", tmp_path / "one", tmp_path / "two") == 1
    assert "Two different packs are called château" in console.err
    assert not PromptPack.objects.exists()
    assert console.run("import_pack", tmp_path / "one") == 0
    typed = unicodedata.normalize("NFD", "château")
    assert console.json("submit_pack", typed, "--dry-run")["jobs"] == 1


def test_refusal_shows_what_to_copy_and_rows_can_be_skipped(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("a [[place]]\n\nb\n\nc [[place]]\n")
    assert console.run("submit_pack", path) == 1
    assert console.err.count("[[place]]") == 1
    assert "rows 1, 3" in console.err
    assert "--matrix place=VALUE,VALUE" in console.err
    assert console.json("submit_pack", path, "--dry-run", "--matrix", "place=x,y")["jobs"] == 5
    document = console.json("submit_pack", path, "--skip-unfilled")
    assert document["jobs"] == 1
    assert "skipped_rows" in [warning["code"] for warning in document["warnings"]]
