"""Forms as packs, and packs of films back to files: a list, its settings, and its pictures."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.building.builder import BuildOptions, build
from jobs.errors import ExportRefused, RecordChangedError
from jobs.packs.film_export import FilmExport, export_films
from jobs.packs.forms import form_source, full_document
from jobs.packs.json_lines import line_of, text_of
from jobs.packs.options import JsonScalar
from jobs.packs.pack import parse_pack
from jobs.packs.picture_lists import read_picture_list
from jobs.packs.rows import RowImage
from jobs.packs.sources import PackSource
from tests.film_packs import film_source, picture
from webui.work.limits import LIMITS


def png(shade: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (32, 16), (shade, 40, 80)).save(content, "PNG")
    return content.getvalue()


class Store:
    """Pictures by their hash, as the store keeps them."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def image(self, shade: int, name: str) -> RowImage:
        content = png(shade)
        digest = hashlib.sha256(content).hexdigest()
        self.kept[digest] = content
        return RowImage(digest, name, 32, 16)

    def open(self, sha256: str) -> bytes:
        if sha256 not in self.kept:
            raise RecordChangedError(f"There is no input picture {sha256[:12]}.")
        return self.kept[sha256]


def export(source: PackSource, folder: Path, store: Store, **options: Any) -> FilmExport:
    return export_films(parse_pack(source), folder, store.open, **options)


def again(export: FilmExport, kind: str) -> PackSource:
    return read_picture_list(export.paths[0], kind).source


# --- forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LIMITS)
def test_a_form_is_a_pack_with_every_parameter_written_down(kind: str) -> None:
    source = form_source(kind, [picture(1)], " it\n waves ", "", {"steps": 12}, effective=True)
    section = json.loads(source.document)["preset_data"][kind]
    own = {name: limit.default for name, limit in LIMITS[kind].items()}
    assert section == {**own, "steps": 12, "seed": -1, "model": "", "negative_prompt": ""}
    made = build(source, BuildOptions(build_seed=1))
    assert (made.problems, made.warnings) == ((), ())
    assert made.records[0].positive_prompt == "it waves"
    assert made.records[0].prompt_pack_name == "cat1.png"
    assert source.pack_id == f"{kind}-{source.sha256[:12]}"


def test_each_picture_is_a_row_and_several_together_are_one() -> None:
    films = form_source("i2v", [picture(1), picture(2)], "x")
    assert [len(row.images) for row in parse_pack(films).rows] == [1, 1]
    edit = form_source("edit", [[picture(1), picture(2)]], "x")
    assert [len(row.images) for row in parse_pack(edit).rows] == [2]
    assert parse_pack(edit).title == "cat1.png and 1 more"


def test_equal_forms_are_equal_packs_however_their_settings_are_ordered() -> None:
    one = form_source("i2v", [picture(1)], "x", settings={"steps": 4, "fps": 24})
    assert one == form_source("i2v", [picture(1)], "x", settings={"fps": 24, "steps": 4})
    assert one.pack_id != form_source("i2v", [picture(2)], "x", settings={"steps": 4, "fps": 24}).pack_id


def test_a_preview_tells_what_snaps_and_a_submission_stores_what_counts() -> None:
    for effective, frames, told in ((False, 50, ["i2v.num_frames 50 becomes 49."]), (True, 49, [])):
        source = form_source("i2v", [picture(1)], "x", settings={"num_frames": 50}, effective=effective)
        assert json.loads(source.document)["preset_data"]["i2v"]["num_frames"] == frames
        made = build(source, BuildOptions(build_seed=1))
        assert [str(warning) for warning in made.warnings] == told


def test_a_form_beyond_the_limits_is_refused_by_field_and_keeps_what_was_written() -> None:
    settings: dict[str, JsonScalar] = {"steps": "many", "fps": 99, "num_frames": 500}
    for effective in (False, True):
        source = form_source("i2v", [[]], "", settings=settings, effective=effective)
        assert json.loads(source.document)["preset_data"]["i2v"].items() >= settings.items()
        made = build(source, BuildOptions(build_seed=1))
        found = {(problem.field, problem.row) for problem in made.problems}
        assert found == {
            *((f"i2v.{name}", None) for name in settings),
            ("images", 1),
            ("prompt", 1),
        }


# --- settings with every value ------------------------------------------------------------------------------


def test_full_settings_make_the_same_records_and_are_full_already() -> None:
    source = film_source(
        i2v={"frames": 50, "cfg": 2, "odd": 1}, pipeline={"loop_count": 2}, txt2img={"steps": 3}
    )
    full = PackSource(source.pack_id, source.text, full_document(parse_pack(source)), "i2v")
    data = json.loads(full.document)["preset_data"]
    assert (data["i2v"]["num_frames"], data["i2v"]["cfg_scale"], data["i2v"]["odd"]) == (49, 2.0, 1)
    assert "frames" not in data["i2v"]
    assert (data["pipeline"], data["txt2img"]) == ({"loop_count": 2}, {"steps": 3})
    assert full_document(parse_pack(full)) == full.document
    chains = [
        [record.stage_chain for record in build(one, BuildOptions(build_seed=1)).records]
        for one in (source, full)
    ]
    assert chains[0] == chains[1] != []


@pytest.mark.parametrize(
    "document", ['{"i2v": {"steps": 4}, "name": "n"}', "", '{"pack_data": {"name": "n"}}']
)
def test_full_settings_keep_the_layout(document: str) -> None:
    pack = parse_pack(PackSource("p", film_source().text, document, "i2v"))
    data = json.loads(full_document(pack))
    section = data["i2v"] if "i2v" in data else data["preset_data"]["i2v"]
    assert set(section) == {*LIMITS["i2v"], "seed", "model", "negative_prompt"}


@pytest.mark.parametrize("document", ["{", '{"preset_data": 3}', '{"i2v": 3}'])
def test_settings_that_cannot_be_read_stay_as_they_stand(document: str) -> None:
    assert full_document(parse_pack(PackSource("p", film_source().text, document, "i2v"))) == document


# --- export -------------------------------------------------------------------------------------------------


def test_a_form_comes_back_as_the_same_revision(tmp_path: Path) -> None:
    store = Store()
    rows: list[Any] = [store.image(1, "a cat.png"), [store.image(2, "b.png"), store.image(3, "c.png")]]
    for kind, images in (("i2v", rows[:1]), ("edit", rows)):
        source = form_source(kind, images, "it waves", "blurry", effective=True)
        made = export(source, tmp_path / kind, store)
        assert made.is_same
        read = again(made, kind)
        assert (read.sha256, read.pack_id) == (source.sha256, source.pack_id)
        assert json.loads(made.paths[1].read_text()) == json.loads(source.document)


def test_a_pack_of_a_file_is_exported_with_every_value_or_as_it_was(tmp_path: Path) -> None:
    store = Store()
    text = text_of([line_of([store.image(1, "a.png")], "x")])
    source = PackSource("p", text, '{"i2v": {"steps": 4}}', "i2v")
    full = export(source, tmp_path / "full", store)
    assert not full.is_same
    assert json.loads(full.paths[1].read_text())["i2v"]["num_frames"] == 81
    exact = export(source, tmp_path / "exact", store, as_imported=True)
    assert exact.is_same
    assert again(exact, "i2v").sha256 == source.sha256
    bare = export(PackSource("p", text, "", "i2v"), tmp_path / "bare", store, as_imported=True)
    assert [path.name for path in bare.paths] == ["p.jsonl"]


def test_pictures_lie_beside_the_list_each_once_and_under_their_names(tmp_path: Path) -> None:
    store = Store()
    first, other = store.image(1, "cat.png"), store.image(2, "CAT.png")
    nameless, odd = store.image(3, ""), store.image(4, "../x.png")
    rows = [[one] for one in (first, other, first, nameless, odd)]
    source = PackSource("p", text_of(line_of(row, "x") for row in rows), "", "i2v")
    made = export(source, tmp_path, store)
    lines = [json.loads(line) for line in made.paths[0].read_text().splitlines()]
    assert [line["images"] for line in lines] == [
        ["p.pictures/cat.png"],
        [f"p.pictures/{other.sha256[:12]}/CAT.png"],
        ["p.pictures/cat.png"],
        [f"p.pictures/{nameless.sha256[:12]}.png"],
        [f"p.pictures/{odd.sha256[:12]}.png"],
    ]
    assert (made.pictures, made.is_same) == (4, False)
    for row, line in zip(rows, lines, strict=True):
        assert (tmp_path / line["images"][0]).read_bytes() == store.open(row[0].sha256)
    assert not (tmp_path.parent / "x.png").exists()


def test_nothing_is_written_where_something_else_lies_or_a_picture_is_gone(tmp_path: Path) -> None:
    store = Store()
    source = form_source("i2v", [store.image(1, "a.png")], "x")
    (tmp_path / f"{source.pack_id}.pictures").mkdir()
    mine = tmp_path / f"{source.pack_id}.pictures" / "a.png"
    mine.write_bytes(b"mine")
    with pytest.raises(ExportRefused, match="--force"):
        export(source, tmp_path, store)
    assert not (tmp_path / f"{source.pack_id}.jsonl").exists()
    export(source, tmp_path, store, force=True)
    assert mine.read_bytes() == png(1)
    export(source, tmp_path, store)
    gone = form_source("i2v", [picture(9)], "x")
    with pytest.raises(RecordChangedError):
        export(gone, tmp_path / "gone", store)
    assert not (tmp_path / "gone").exists()


def test_a_pack_that_cannot_be_read_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="cannot be read"):
        export(PackSource("p", "{", "", "i2v"), tmp_path, Store())
    with pytest.raises(ExportRefused, match="name"):
        export(PackSource("../p", "", "", "i2v"), tmp_path, Store())
