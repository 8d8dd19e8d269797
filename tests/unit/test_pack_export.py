"""Packs back to files: reading them again gives the same revision and the same records."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.errors import ExportRefused
from jobs.packs.export import write_pack
from jobs.packs.sources import read_source

SHARED = Path(__file__).parents[2].parent / "shared" / "packs"


def test_both_halves_are_written_to_the_byte(tmp_path: Path) -> None:
    source = PackSource("keeps v1.5", "\ufeffa keep\r\nneg: low\r\r\n\n", '{"txt2img":  {"steps": 3}}\n')
    paths = write_pack(source, tmp_path / "out")
    assert [path.name for path in paths] == ["keeps v1.5.txt", "keeps v1.5.json"]
    assert paths[0].read_bytes() == source.text.encode()
    again = read_source(paths[0])
    assert again == source
    options = BuildOptions(build_seed=3)
    assert build(again, options).canonical == build(source, options).canonical != ()


def test_half_that_the_pack_lacks_is_not_written(tmp_path: Path) -> None:
    (path,) = write_pack(PackSource("bare", "a keep\n", ""), tmp_path)
    assert path.name == "bare.txt"
    assert read_source(path).document == ""
    (path,) = write_pack(PackSource("slots", "", '{"slots": [{"text": "x"}]}'), tmp_path)
    assert path.name == "slots.json"


def test_other_files_are_never_replaced_unasked(tmp_path: Path) -> None:
    source = PackSource("keep", "a keep\n", "{}")
    write_pack(source, tmp_path)
    write_pack(source, tmp_path)
    changed = PackSource("keep", "another keep\n", "{}")
    with pytest.raises(ExportRefused, match="--force"):
        write_pack(changed, tmp_path)
    assert read_source(tmp_path / "keep.txt") == source
    write_pack(changed, tmp_path, force=True)
    assert read_source(tmp_path / "keep.txt") == changed


def test_foreign_half_that_would_join_the_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keep.json").write_text("{}")
    with pytest.raises(ExportRefused, match="read as part"):
        write_pack(PackSource("keep", "a keep\n", ""), tmp_path)


@pytest.mark.parametrize("name", ["", "../keep", "a/b", ".hidden", "a\\b"])
def test_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportRefused, match="name"):
        write_pack(PackSource(name, "a keep\n", ""), tmp_path)


@settings(max_examples=50, deadline=None)
@given(
    st.text(
        st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("\r\n\ufeff#<>"),
        min_size=1,
    )
)
def test_any_text_comes_back_as_the_same_revision(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = PackSource("any", text, "")
        assert read_source(write_pack(source, Path(folder))[0]).sha256 == source.sha256


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared packs are not here")
def test_real_packs_survive_export(tmp_path: Path) -> None:
    for path in SHARED.glob("*.txt"):
        source = read_source(path)
        write_pack(source, tmp_path)
        assert read_source(tmp_path / path.name) == source
