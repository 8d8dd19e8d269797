"""Names of packs: one spelling each, and nothing in them that shows as something else."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import PackReadError, UploadRefusedError
from jobs.packs.names import one_spelling, other_spellings, pack_name, shown_name
from jobs.packs.sources import find_packs, read_source
from jobs.packs.uploads import read_uploads

COMPOSED, DECOMPOSED = "château", unicodedata.normalize("NFD", "château")
ODD = ["line\nbreak", "rtl\u202egnp", "iso\u2066late", "tab\tbed", "esc\x1b[2J", "sep\u2028x", "mark\u200fx"]


def test_a_name_has_one_spelling_however_the_file_is_spelt(tmp_path: Path) -> None:
    (tmp_path / f"{DECOMPOSED}.txt").write_text("a keep")
    (tmp_path / f"{COMPOSED}.json").write_text('{"name": "N", "txt2img": {"steps": 3}}')
    (path,) = find_packs(tmp_path)
    source = read_source(path)
    assert source.pack_id == COMPOSED
    assert '"steps": 3' in source.document
    files = [(f"{DECOMPOSED}.txt", b"a"), (f"{COMPOSED}.json", b"{}")]
    assert [upload.pack_id for upload in read_uploads(files)] == [COMPOSED]
    with pytest.raises(UploadRefusedError, match="chosen twice"):
        read_uploads([(f"{DECOMPOSED}.txt", b"a"), (f"{COMPOSED}.txt", b"b")])


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_shows_as_something_else_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.txt").write_text("a keep")
    with pytest.raises(PackReadError) as found:
        read_source(tmp_path / f"{name}.txt")
    with pytest.raises(UploadRefusedError) as refused:
        read_uploads([(f"{name}.txt", b"a keep")])
    for words in (str(found.value), refused.value.problems[0]):
        assert "U+" in words
        assert words.isprintable()
        assert "rename the file" in words


@given(st.text(max_size=30))
def test_a_name_is_refused_or_stays_itself(stem: str) -> None:
    if shown_name(one_spelling(stem)) != one_spelling(stem):
        with pytest.raises(PackReadError) as found:
            pack_name(stem, f"{stem}.txt")
        assert shown_name(str(found.value)) == str(found.value)
        return
    name = pack_name(stem, f"{stem}.txt")
    assert name == one_spelling(stem)
    assert name in (stem, *other_spellings(stem))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("styles.csv", b"name,prompt,negative_prompt\nInk,x,\n", "list of styles"),
        ("styles.csv", b"\xef\xbb\xbfname,prompt\nInk,x\n", "list of styles"),
        ("films.csv", b"image,prompt\n", ".txt"),
        ("colours.yaml", b"colours:\n - red\n", "list of wildcards"),
    ],
)
def test_files_of_other_kinds_are_refused_in_words(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PackReadError, match=words):
        read_source(tmp_path / name)
    with pytest.raises(UploadRefusedError) as refused:
        read_uploads([(name, content)])
    assert words in refused.value.problems[0]
