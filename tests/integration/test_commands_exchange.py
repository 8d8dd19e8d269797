"""Presets, sweeps and export on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.models import Job, JobRecord, PackRevision, Submission
from tests.integration.console import Console

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "keep.txt"
    path.write_text("a keep\nneg: low\n")
    path.with_suffix(".json").write_text(
        json.dumps({"pack_data": {}, "preset_data": {"txt2img": {"steps": 5}}})
    )
    return path


def records() -> list[dict[str, object]]:
    return [json.loads(row.canonical_json) for row in JobRecord.objects.order_by("id")]


def test_sweep_multiplies_and_preset_fills_in(console: Console, pack: Path, tmp_path: Path) -> None:
    preset = tmp_path / "soft.json"
    preset.write_text(json.dumps({"txt2img": {"steps": 40, "sampler": "DDIM"}}))
    document = console.json(
        "submit_pack", pack, "--sweep", "txt2img.cfg_scale=5,7", "--preset", preset, "--seed", "1"
    )
    assert document["packs"][0]["sweeps"] == 2
    assert [(r["cfg_scale"], r["steps"], r["sampler"]) for r in records()] == [(5, 5, "DDIM"), (7, 5, "DDIM")]
    [options] = Submission.objects.values_list("options", flat=True)
    assert json.loads(options[0]["options"]["preset"])["preset_data"]["txt2img"]["steps"] == 40


def test_settings_of_an_imported_pack_serve_as_a_preset(console: Console, pack: Path, tmp_path: Path) -> None:
    assert console.run("import_pack", pack) == 0
    bare = tmp_path / "bare.txt"
    bare.write_text("a moat\nneg: low\n")
    console.json("submit_pack", bare, "--preset", "keep")
    assert [r["steps"] for r in records()] == [5]


@pytest.mark.parametrize(
    ("preset", "told"), [("nobody", "no pack 'nobody'"), ("./missing.json", "does not exist")]
)
def test_preset_that_is_nowhere_is_refused(console: Console, pack: Path, preset: str, told: str) -> None:
    assert console.run("submit_pack", pack, "--preset", preset) == 1
    assert told in console.err
    assert not Job.objects.exists()


def test_sweep_that_cannot_be_read_is_a_bad_argument(console: Console, pack: Path) -> None:
    assert console.run("submit_pack", pack, "--sweep", "cfg") == 2


def test_export_and_import_again_is_the_same_revision_and_the_same_records(
    console: Console, pack: Path, tmp_path: Path
) -> None:
    before = console.json("submit_pack", pack, "--seed", "7")["record_hashes"]
    document = console.json("export_pack", "keep", "--to", tmp_path / "out")
    assert [Path(path).name for path in document["files"]] == ["keep.txt", "keep.json"]
    assert (tmp_path / "out" / "keep.txt").read_bytes() == pack.read_bytes()
    after = console.json("submit_pack", tmp_path / "out" / "keep.txt", "--seed", "7")["record_hashes"]
    assert after == before
    assert PackRevision.objects.count() == 1


def test_export_refuses_what_is_nowhere_and_what_it_would_replace(
    console: Console, pack: Path, tmp_path: Path
) -> None:
    assert console.run("export_pack", "keep") == 1
    assert "Import it first" in console.err
    console.run("import_pack", pack)
    pack.write_text("changed\n")
    assert console.run("export_pack", "keep", "--to", pack.parent) == 1
    assert "--force" in console.err
    assert console.run("export_pack", "keep", "--to", pack) == 1
    assert f"{pack} cannot be written: File exists." in console.err
