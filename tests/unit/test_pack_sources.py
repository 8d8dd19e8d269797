"""Reading packs from disk: exact bytes, one clear sentence for each file that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import PackReadError
from jobs.packs.pack import read_pack
from jobs.packs.sources import PackSource, find_packs, read_source


def refusal(path: Path) -> str:
    with pytest.raises(PackReadError) as error:
        read_pack(path)
    return str(error.value)


def test_text_and_json_are_kept_byte_for_byte(tmp_path: Path) -> None:
    text, document = "\ufeffa\r\nneg: é\r".encode(), b'{"pack_data": {}}\n'
    (tmp_path / "p.txt").write_bytes(text)
    (tmp_path / "p.json").write_bytes(document)
    for name in ("p.txt", "p.json"):
        source = read_source(tmp_path / name)
        assert (source.pack_id, source.text.encode(), source.document.encode()) == ("p", text, document)


def test_either_half_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.json").write_text("{}")
    assert read_source(tmp_path / "a.txt") == PackSource("a", "x", "")
    assert read_source(tmp_path / "b.json") == PackSource("b", "", "{}")


def test_name_with_dots_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "Lora8.1.txt").write_text("x")
    (tmp_path / "Lora8.1.json").write_text("{}")
    assert read_source(tmp_path / "Lora8.1.txt") == PackSource("Lora8.1", "x", "{}")


def test_revision_is_of_both_halves_and_not_of_the_name() -> None:
    assert PackSource("a", "x", "y").sha256 == PackSource("b", "x", "y").sha256
    halves = [("x", "y"), ("y", "x"), ("xy", ""), ("", "xy"), ("x\ny", ""), ("x", "\ny")]
    halves += [("x\n1\ny", ""), ("x", "y\n1\n")]
    assert len({PackSource("a", text, document).sha256 for text, document in halves}) == len(halves)


def test_pack_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"fine\n\nm\xfcnchen\n")
    words = refusal(tmp_path / "p.txt")
    assert "p.txt is not UTF-8 (line 3)" in words
    assert "save it as UTF-8" in words


def test_utf16_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes("words".encode("utf-16"))
    assert "UTF-16" in refusal(tmp_path / "p.txt")


def test_nul_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"a\nb\0\n")
    assert "NUL character in line 2" in refusal(tmp_path / "p.txt")


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ("[1]", "line 1, column 1"),
        ('{"a": NaN}', "NaN"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json_that_does_not_parse_is_refused_with_its_place(
    tmp_path: Path, document: str, place: str
) -> None:
    (tmp_path / "p.txt").write_text("a")
    (tmp_path / "p.json").write_text(document)
    words = refusal(tmp_path / "p.txt")
    assert "p.json is not valid JSON" in words
    assert place in words


def test_missing_foreign_and_unreadable_files_are_refused_by_name(tmp_path: Path) -> None:
    assert "nowhere.txt does not exist" in refusal(tmp_path / "nowhere.txt")
    assert "nowhere.png does not exist" in refusal(tmp_path / "nowhere.png")
    (tmp_path / "notes.md").touch()
    assert ".txt file" in refusal(tmp_path / "notes.md")
    (tmp_path / "folder.txt").mkdir()
    assert "folder.txt cannot be read" in refusal(tmp_path / "folder.txt")
    assert "cannot be read: File name too long" in refusal(tmp_path / f"{'é' * 200}.txt")
    assert "more than 200 characters" in refusal(tmp_path / f"{'x' * 201}.txt")


def test_folder_gives_each_pack_once_by_name_and_leaves_presets_out(tmp_path: Path) -> None:
    for name in ("b.txt", "b.json", "A.txt", "notes.md", ".hidden.txt"):
        (tmp_path / name).write_text("{}" if name.endswith("json") else "x")
    (tmp_path / "preset.json").write_text('{"txt2img": {"steps": 4}}')
    (tmp_path / "slots.json").write_text('{"pack_data": {"slots": [{"text": "a"}]}}')
    (tmp_path / "broken.json").write_text("{")
    names = [path.name for path in find_packs(tmp_path)]
    assert names == ["A.txt", "b.txt", "broken.json", "slots.json"]
    assert find_packs(tmp_path / "b.txt") == [tmp_path / "b.txt"]


def test_folder_without_packs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackReadError, match="holds no packs"):
        find_packs(tmp_path)
