"""`submit_pack --kind`: folders and lists of pictures become films and edits, all of it or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from jobs.building.builder import BuildOptions, build
from jobs.errors import RefusedError
from jobs.inputs.store import keep, open_input
from jobs.models import InputPicture, Job, JobRecord, PackRevision, PromptPack, Submission
from jobs.packs.pack import parse_pack
from jobs.packs.picture_lists import read_picture_list
from jobs.submitting.importing import import_pack
from jobs.submitting.ordering import place
from jobs.submitting.picture_packs import keep_pictures
from jobs.submitting.preflight import OnMissing
from jobs.submitting.submission import BuiltPack, submit_jobs, submit_packs
from tests.integration.console import Console
from tests.sample_pictures import picture

pytestmark = pytest.mark.django_db(transaction=True)

ANYWAY = "--submit-anyway"


@pytest.fixture(autouse=True)
def inputs(settings: Settings, tmp_path: Path) -> Path:
    settings.STABLENEW_INPUT_DIR = tmp_path / "data" / "inputs"
    return tmp_path / "data" / "inputs"


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    """A folder of three pictures; the second one has a caption."""
    folder = tmp_path / "cats"
    folder.mkdir()
    for number, name in enumerate(("img1.png", "img2.png", "img10.png")):
        (folder / name).write_bytes(picture(number, (320, 200)))
    (folder / "img2.txt").write_text("it walks away")
    return folder


def records() -> list[dict[str, Any]]:
    return [json.loads(row.canonical_json) for row in JobRecord.objects.order_by("id")]


def nothing_stored(inputs: Path) -> bool:
    tables = (InputPicture, PromptPack, PackRevision, Submission, Job)
    return not any(table._default_manager.exists() for table in tables) and not inputs.exists()


def test_a_folder_becomes_one_pack_with_one_film_per_picture(
    console: Console, cats: Path, inputs: Path
) -> None:
    document = console.json(
        "submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", "--seed", 7, ANYWAY
    )
    assert (document["jobs"], document["errors"], len(document["job_ids"])) == (3, [], 3)
    assert (PromptPack.objects.get().name, PromptPack.objects.get().kind) == ("cats", "i2v")
    assert [job.kind for job in Job.objects.order_by("id")] == ["i2v"] * 3
    made = records()
    assert [record["positive_prompt"] for record in made] == ["it breathes", "it walks away", "it breathes"]
    assert [record["inputs"][0]["name"] for record in made] == ["img1.png", "img2.png", "img10.png"]
    for record in made:
        [one] = record["inputs"]
        assert open_input(one["sha256"]) == (cats / one["name"]).read_bytes()
    assert document["inputs"] == {
        "pictures": 3, "bytes": sum(path.stat().st_size for path in cats.glob("*.png")),
    }  # fmt: skip
    assert {row.by.endswith("(command line)") for row in InputPicture.objects.all()} == {True}


def test_a_dry_run_tells_what_will_be_made_and_stores_nothing(
    console: Console, cats: Path, inputs: Path
) -> None:
    words = ["submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", "--seed", 3]
    words += ["--set", "i2v.num_frames=50", ANYWAY]
    dry = console.json(*words, "--dry-run")
    assert (dry["jobs"], dry["submission"], dry["job_ids"]) == (3, None, [])
    [made] = dry["made"]
    assert (made["kind"], made["count"], made["num_frames"], made["fps"], made["steps"]) == (
        "i2v",
        3,
        49,
        16,
        8,
    )
    assert (made["width"] % 16, made["height"] % 16) == (0, 0)
    assert made["width"] > made["height"]
    assert nothing_stored(inputs)
    assert console.json(*words)["record_hashes"] == dry["record_hashes"]
    assert len({record["stage_chain"][0]["parameters"]["width"] for record in records()}) == 1


def test_a_dry_run_in_words_shows_sizes_frames_and_how_the_size_follows_the_picture(
    console: Console, cats: Path
) -> None:
    (cats / "tall.png").write_bytes(picture(9, (200, 320)))
    (cats / "orphan.txt").write_text("a dog")
    words = ["--kind", "i2v", "--prompt", "it breathes", "--set", "i2v.num_frames=50", "--dry-run", ANYWAY]
    assert console.run("submit_pack", cats, *words) == 0
    for line in (
        "4 input pictures, 0.0 MiB",
        "3 films of 800 x 496 pixels, 49 frames at 16 per second (3.1 s), 8 steps",
        "1 film of 496 x 800 pixels, 49 frames at 16 per second (3.1 s), 8 steps",
        "cats: i2v.num_frames 50 becomes 49.",
        "The size of each film follows its picture: the same shape with about 399,360 pixels, in steps of 16.",
        "cats: No picture has the name of these captions, so they are not used: orphan.txt.",
        "4 records, 4 films;",
    ):
        assert line in console.out


def test_edits_take_several_pictures_from_a_list_with_settings_beside_it(
    console: Console, cats: Path
) -> None:
    (cats / "walks.jsonl").write_text(
        json.dumps({"images": ["img1.png", "img2.png"], "prompt": "both in one room"})
        + "\n"
        + json.dumps({"image": str(cats / "img10.png"), "prompt": "paint it blue", "negative_prompt": "blur"})
    )
    (cats / "walks.json").write_text('{"preset_data": {"edit": {"steps": 6}}}')
    console.json("submit_pack", cats / "walks.jsonl", "--kind", "edit", ANYWAY)
    made = records()
    assert [[one["name"] for one in record["inputs"]] for record in made] == [
        ["img1.png", "img2.png"],
        ["img10.png"],
    ]
    assert [record["stage_chain"][0]["parameters"]["steps"] for record in made] == [6, 6]
    assert PromptPack.objects.get().name == "walks"


def test_slots_sweeps_and_repeats_work_as_for_packs_of_prompts(console: Console, cats: Path) -> None:
    (cats / "walks.csv").write_text("image,prompt\nimg1.png,it [[does]]\n")
    document = console.json(
        "submit_pack", cats / "walks.csv", "--kind", "i2v", "--matrix", "does=walks,sits", "--repeat", 2,
        "--sweep", "i2v.fps=16,24", ANYWAY,
    )  # fmt: skip
    assert document["jobs"] == 8
    assert {record["positive_prompt"] for record in records()} == {"it walks", "it sits"}
    assert len({record["seed"] for record in records()}) > 1


def test_the_same_folder_again_is_the_same_revision_with_the_same_records(
    console: Console, cats: Path
) -> None:
    words = ["submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", "--seed", 7, ANYWAY]
    first, again = console.json(*words), console.json(*words)
    assert first["record_hashes"] == again["record_hashes"]
    assert PackRevision.objects.count() == 1
    assert InputPicture.objects.count() == 3
    (cats / "img1.png").write_bytes(picture(99))
    changed = console.json(*words)
    assert PackRevision.objects.count() == 2
    assert len(set(changed["record_hashes"]) & set(first["record_hashes"])) == 0


def test_a_pack_of_films_is_submitted_again_by_its_name(
    console: Console, cats: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["--kind", "i2v", "--seed", 7, ANYWAY]
    first = console.json("submit_pack", cats, "--prompt", "it breathes", *words)
    monkeypatch.chdir(tmp_path / "data")
    again = console.json("submit_pack", "cats", *words)
    assert first["record_hashes"] == again["record_hashes"]
    assert console.json("submit_pack", "cats", "--seed", 7, ANYWAY)["record_hashes"] == first["record_hashes"]
    # Beside it, the folder is meant: it may have changed.
    monkeypatch.chdir(tmp_path)
    assert console.run("submit_pack", "cats", *words) == 1
    assert "no prompt" in console.err


def test_a_key_queues_the_same_folder_once(console: Console, cats: Path) -> None:
    words = ["submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", "--key", "monday", ANYWAY]
    first, again = console.json(*words), console.json(*words)
    assert (first["created"], again["created"]) == (True, False)
    assert first["job_ids"] == again["job_ids"]
    assert Job.objects.count() == 3


def test_everything_wrong_is_told_at_once_and_nothing_is_stored(
    console: Console, cats: Path, inputs: Path
) -> None:
    (cats / "img3.png").write_text("a castle")
    (cats / "img4.png").write_bytes(bytes(7_864_321))
    (cats / "img2.txt").write_text("x" * 501)
    settings = ["--set", "i2v.steps=500", "--set", "i2v.cfg_scale=0", "--set", "i2v.width=5000"]
    document = console.json("submit_pack", cats, "--kind", "i2v", *settings, ANYWAY, expect=1)
    found = [(error["row"], error["field"]) for error in document["errors"]]
    assert {(3, "image"), (4, "image"), (2, "prompt")} <= set(found)
    assert {field for row, field in found if row is None} >= {
        "i2v.steps",
        "i2v.cfg_scale",
        "i2v.width",
        "prompt",
    }
    assert len(found) == len(set(found))
    told = "\n".join(error["message"] for error in document["errors"])
    assert "7,864,320 bytes (10 MB as base64)" in told
    assert "i2v.steps 500 is outside 1-100" in told
    assert "the caption img2.txt has 501 characters" in told
    assert (document["jobs"], document["record_hashes"]) == (0, [])
    assert nothing_stored(inputs)


def test_a_good_folder_goes_on_without_a_bad_one_where_that_is_asked(
    console: Console, cats: Path, tmp_path: Path
) -> None:
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs/a.png").write_bytes(picture(50))
    (tmp_path / "dogs/b.png").write_bytes(b"")
    words = ["submit_pack", cats, tmp_path / "dogs", "--kind", "i2v", "--prompt", "it breathes", ANYWAY]
    assert console.json(*words, expect=1)["jobs"] == 0
    assert not InputPicture.objects.exists()
    document = console.json(*words, "--keep-going", expect=1)
    assert (document["jobs"], [error["pack"] for error in document["errors"]]) == (3, ["dogs"])
    assert InputPicture.objects.count() == 3
    assert [pack.name for pack in PromptPack.objects.all()] == ["cats"]


@pytest.mark.parametrize("what", ["folder", "captions", "csv", "jsonl", "picture"])
def test_pictures_without_a_kind_say_what_to_do(
    console: Console, cats: Path, inputs: Path, what: str
) -> None:
    paths = {"csv": cats / "walks.csv", "jsonl": cats / "walks.jsonl", "picture": cats / "img1.png"}
    (cats / "walks.csv").write_text("image,prompt\nimg1.png,it walks\n")
    (cats / "walks.jsonl").write_text('{"image": "img1.png", "prompt": "it walks"}\n')
    if what == "folder":
        (cats / "img2.txt").unlink()
    path = paths.get(what, cats)
    for command in ("submit_pack", "import_pack"):
        assert console.run(command, path) == 1
        [told] = console.err.strip().splitlines()
        assert path.name in told
        assert "is no pack of prompts but a" in told
        assert f"`submit_pack {path} --kind i2v` makes films, `--kind edit` makes edits." in told
    assert nothing_stored(inputs)


def test_a_folder_of_packs_with_pictures_among_them_stays_one_of_packs(console: Console, cats: Path) -> None:
    (cats / "castle.txt").write_text("a castle\nneg: fog\n")
    assert [pack["name"] for pack in console.json("import_pack", cats)["packs"]] == ["castle", "img2"]


def test_a_kind_with_packs_of_prompts_says_what_to_do(console: Console, tmp_path: Path, cats: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "castle.txt").write_text("a castle\nneg: fog\n")
    console.json("import_pack", texts)
    for word, told in (
        ("castle", "Pack castle makes pictures, not films. Leave --kind out."),
        (texts / "castle.txt", "Pack castle makes pictures, not films. Leave --kind out."),
        (
            texts,
            "texts holds no pictures (PNG, JPEG, WebP or AVIF). To submit its .txt files as packs of prompts,",
        ),
    ):
        assert console.run("submit_pack", word, "--kind", "i2v") == 1
        assert told in console.err
    console.json("submit_pack", cats, "--kind", "edit", "--prompt", "paint it blue", ANYWAY)
    monkeyed = ["submit_pack", "cats", "--kind", "i2v", ANYWAY]
    assert console.run(*monkeyed) == 1
    assert "Pack cats makes edits, not films. Use --kind edit, or leave it out." in console.err


def test_prompts_for_all_go_with_a_kind_and_with_pictures(console: Console, cats: Path) -> None:
    assert console.run("submit_pack", cats, "--prompt", "it breathes") == 2
    assert "--prompt and --negative-prompt go with --kind" in console.err
    assert console.run("submit_pack", cats, cats, "--kind", "i2v", "--name", "walks") == 2
    assert "--name is for one folder or list" in console.err
    console.json("submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", ANYWAY)
    assert console.run("submit_pack", "cats", "--kind", "i2v", "--prompt", "it purrs", ANYWAY) == 1
    assert "Pack cats is imported, and its prompts with it" in console.err


def test_one_folder_becomes_films_and_edits_under_two_names(console: Console, cats: Path) -> None:
    console.json("submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", ANYWAY)
    words = ["submit_pack", cats, "--kind", "edit", "--prompt", "paint it blue", ANYWAY]
    document = console.json(*words, "--dry-run", expect=1)
    [error] = document["errors"]
    assert error["message"] == (
        "Pack cats is there already and makes films; this one makes edits. Give this one another name with --name."
    )
    assert console.json(*words, "--name", "blue cats")["jobs"] == 3
    assert sorted(PromptPack.objects.values_list("name", "kind")) == [("blue cats", "edit"), ("cats", "i2v")]
    assert InputPicture.objects.count() == 3


def test_a_name_that_packs_of_prompts_have_is_refused_before_anything_is_stored(
    console: Console, cats: Path, tmp_path: Path
) -> None:
    (tmp_path / "cats.txt").write_text("a cat\nneg: dog\n")
    console.json("import_pack", tmp_path / "cats.txt")
    assert console.run("submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", ANYWAY) == 1
    assert "Pack cats is there already and makes pictures; this one makes films. Give" in console.err
    assert not Job.objects.exists()
    assert not InputPicture.objects.exists()
    assert PackRevision.objects.count() == 1


def test_a_pack_whose_pictures_were_never_kept_is_refused_by_row_and_name(cats: Path) -> None:
    """Somebody brought the revision from another installation."""
    listed = read_picture_list(cats, "i2v", prompt="it breathes")
    revision = import_pack(parse_pack(listed.source)).revision
    keep((cats / "img1.png").read_bytes(), listed.pictures[0].facts, name="img1.png")
    options = BuildOptions(build_seed=1)
    made = build(listed.source, options)
    told = [
        "Pack cats, row 2: there is no input picture img2.png.",
        "Pack cats, row 3: there is no input picture img10.png.",
    ]
    doors: list[Callable[[], object]] = [
        lambda: place([made], on_missing=OnMissing.ANYWAY),
        lambda: submit_packs([BuiltPack(revision, made)], on_missing=OnMissing.ANYWAY),
        lambda: submit_jobs(made.records, options=options, on_missing=OnMissing.ANYWAY),
    ]
    for door in doors:
        with pytest.raises(RefusedError) as caught:
            door()
        problems = caught.value.problems
        assert [
            problem.message.removesuffix(" Submit its folder or list again.") for problem in problems
        ] == told
        assert [(problem.row, problem.field) for problem in problems] == [(2, "inputs"), (3, "inputs")]
    assert not Job.objects.exists()


def test_pictures_that_change_between_reading_and_storing_queue_nothing(
    console: Console, cats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*arguments: Any, **named: Any) -> None:
        (cats / "img1.png").write_bytes((cats / "img1.png").read_bytes()[:-1] + b"x")
        (cats / "img2.png").write_bytes(picture(77) + b"longer")
        (cats / "img10.png").unlink()
        keep_pictures(*arguments, **named)

    monkeypatch.setattr("jobs.management.picture_answer.keep_pictures", late)
    document = console.json("submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", ANYWAY, expect=1)
    assert [error["message"].split(" ")[0] for error in document["errors"]] == [
        "img1.png",
        "img2.png",
        "img10.png",
    ]
    assert not Job.objects.exists()
    assert not PromptPack.objects.exists()


def test_a_disk_that_takes_no_picture_queues_nothing(
    console: Console, cats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jobs.inputs.store.write_file", full)
    assert console.run("submit_pack", cats, "--kind", "i2v", "--prompt", "it breathes", ANYWAY) == 1
    assert "No space left on device" in console.err
    assert not any(table._default_manager.exists() for table in (Job, PromptPack, InputPicture))


def test_hashes_in_records_are_those_of_the_files(console: Console, cats: Path) -> None:
    console.json("submit_pack", cats / "img1.png", "--kind", "edit", "--prompt", "paint it blue", ANYWAY)
    [record] = records()
    digest = hashlib.sha256((cats / "img1.png").read_bytes()).hexdigest()
    assert record["inputs"] == [{"sha256": digest, "name": "img1.png"}]
    assert record["kind"] == "edit"


def test_everything_wrong_with_a_list_is_told_row_by_row(console: Console, cats: Path) -> None:
    rows = (
        {"images": ["img1.png", "img2.png"], "prompt": "a"},
        {"prompt": "b"},
        {"image": "img1.png", "prompt": "c" * 501},
    )
    (cats / "walks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    document = console.json("submit_pack", cats / "walks.jsonl", "--kind", "i2v", ANYWAY, expect=1)
    assert [error["row"] for error in document["errors"]] == [1, 2, 3]


def test_a_path_of_anything_else_is_told_what_is_expected(console: Console, cats: Path) -> None:
    (cats / "walk.py").write_text("print()")
    words = ["--kind", "edit", "--prompt", "walk", ANYWAY]
    assert console.run("submit_pack", cats / "walk.py", *words) == 1
    assert "walk.py is neither a picture nor a list of pictures: a folder of pictures, a .csv" in console.err
    for name in ("nothing", "nothing.csv", "nothing.txt", "nothing.png"):
        assert console.run("submit_pack", cats / name, *words) == 1
        assert f"{name} does not exist." in console.err


@pytest.mark.parametrize("words", [["--kind", "i2v", "--prompt", "walk"], ["--preset", "PATH"], []])
def test_a_path_that_cannot_be_looked_up_is_told_in_words(
    console: Console, cats: Path, words: list[str]
) -> None:
    (cats / "loop.json").symlink_to(cats / "loop.json")
    for name, why in (
        (f"{'x' * 300}.json", "File name too long"),
        ("loop.json", "Too many levels of symbolic links"),
    ):
        path = cats / name
        given = [str(path) if word == "PATH" else word for word in words]
        assert console.run("submit_pack", cats / "none.txt" if "PATH" in words else path, *given) == 1
        assert f"{name[:60]}" in console.err
        assert f"cannot be read: {why}." in console.err
