"""Six packs with the records and request bodies that they make, stored and read by a person.

`UPDATE_GOLDEN=1 pytest tests/unit/test_golden.py` writes the files anew and fails, so that nothing is taken
without a look at the difference.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jobs.building.builder import Build, BuildOptions, build
from jobs.packs.sources import read_source
from jobs.records.checks import validate_record
from jobs.records.reading import AnyRecord
from jobs.records.record import NormalizedJobRecord, canonical_json
from jobs.running.requests import Unit, units_of, work_of
from webui.driver import driver_of
from webui.work.unit import Request

GOLDEN = Path(__file__).parent / "golden"
SCHEMA_1 = Path(__file__).parent / "records_schema_1"
PICTURE = (GOLDEN / "picture.png").read_bytes()
NAMES = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


def built(name: str) -> Build:
    text = GOLDEN / name / f"{name}.txt"
    options = BuildOptions.model_validate_json((GOLDEN / name / "options.json").read_bytes())
    made = build(read_source(text if text.exists() else text.with_suffix(".json")), options)
    assert made.problems == ()
    return made


def records_text(made: Build) -> str:
    found = [
        {"sha256": digest, "record": json.loads(canonical)}
        for digest, canonical in zip(made.hashes, made.canonical, strict=True)
    ]
    return _text({"warnings": [str(warning) for warning in made.warnings], "records": found})


def requests_text(made: Build) -> str:
    return _text([_told(record, unit) for record in made.records for unit in _units(record)])


def _units(record: AnyRecord) -> list[Unit]:
    return [unit for units in units_of(record) for unit in units]


def _request(record: AnyRecord, unit: Unit) -> Request:
    """Pictures come in as the stored one."""
    work = work_of(record, unit, lambda stage, image: PICTURE, task_id="task")
    return driver_of("a1111").request(work)


def _told(record: AnyRecord, unit: Unit) -> dict[str, Any]:
    """What is sent for one unit, and the hash of its very bytes."""
    request = _request(record, unit)
    sent = json.dumps(request.body, allow_nan=False, separators=(",", ":")).encode()
    return {
        "stage": request.stage,
        "pictures": list(unit.image_indexes),
        "endpoint": request.endpoint,
        "body_sha256": hashlib.sha256(sent).hexdigest(),
        "body": request.body,
    }


def _text(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


@pytest.mark.parametrize("kind", ["records", "requests"])
@pytest.mark.parametrize("name", NAMES)
def test_pack_makes_exactly_what_is_stored(name: str, kind: str) -> None:
    made = built(name)
    text = records_text(made) if kind == "records" else requests_text(made)
    path = GOLDEN / name / f"{kind}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(text.encode())
        pytest.fail(f"{path} was written; read the difference, then run without UPDATE_GOLDEN")
    assert path.read_bytes() == text.encode()


def test_there_are_six_packs_and_they_cover_every_stage_and_mode() -> None:
    records = [record for name in NAMES for record in built(name).records]
    assert len(NAMES) == 6
    stages = {stage.stage for record in records for stage in record.enabled_stages}
    assert stages == {"txt2img", "img2img", "adetailer", "upscale"}
    assert {record.randomization.mode for record in records} == {
        "none",
        "fanout",
        "random",
        "rotate",
        "sequential",
    }
    assert {
        _request(record, unit).endpoint.rpartition("/")[2] for record in records for unit in _units(record)
    } == {
        "txt2img",
        "img2img",
        "extra-single-image",
    }


@pytest.mark.parametrize("name", NAMES)
def test_stored_records_may_run(name: str) -> None:
    stored = json.loads((GOLDEN / name / "records.json").read_bytes())["records"]
    for entry in stored:
        record = NormalizedJobRecord.from_canonical(json.dumps(entry["record"]))
        assert validate_record(record) == []


@pytest.mark.parametrize("folder", sorted(SCHEMA_1.iterdir()), ids=lambda folder: folder.name)
def test_a_record_of_schema_1_keeps_its_bytes_its_hash_and_its_requests(folder: Path) -> None:
    """As an installation has them that was upgraded: nothing writes these files any more."""
    stored = json.loads((folder / "records.json").read_bytes())["records"]
    records = []
    for entry in stored:
        text = json.dumps(entry["record"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        record = NormalizedJobRecord.from_canonical(text, sha256=entry["sha256"])
        assert (canonical_json(record), validate_record(record)) == (text, [])
        records.append(record)
    sent = [_told(record, unit) for record in records for unit in _units(record)]
    assert sent == json.loads((folder / "requests.json").read_bytes())


@pytest.mark.parametrize("folder", sorted(SCHEMA_1.iterdir()), ids=lambda folder: folder.name)
def test_schema_2_changes_a_record_in_its_clip_skip_alone(folder: Path) -> None:
    older = json.loads((folder / "records.json").read_bytes())["records"]
    newer = json.loads((GOLDEN / folder.name / "records.json").read_bytes())["records"]
    for old, new in zip(older, newer, strict=True):
        assert new["record"]["schema_version"] == 2
        assert _without_clip_skip(old["record"]) == _without_clip_skip(new["record"])


def _without_clip_skip(record: dict[str, Any]) -> dict[str, Any]:
    stages = [
        {
            **stage,
            "parameters": {name: v for name, v in (stage["parameters"] or {}).items() if name != "clip_skip"},
        }
        for stage in record["stage_chain"]
    ]
    kept = {name: v for name, v in record.items() if name not in ("clip_skip", "schema_version")}
    return {**kept, "stage_chain": stages}
