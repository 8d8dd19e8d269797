"""Folders and lists of pictures become packs of films and edits, or every reason why not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import PackReadError
from jobs.packs.picture_lists import MAX_TOLD, PictureList, looks_like_pictures, read_picture_list
from jobs.packs.picture_rows import natural_key, one_line
from tests.sample_pictures import picture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    folder = tmp_path / "cats"
    folder.mkdir()
    return folder


def read(path: Path, *, prompt: str = "", negative_prompt: str = "") -> PictureList:
    return read_picture_list(path, "i2v", prompt=prompt, negative_prompt=negative_prompt)


def rows(found: PictureList) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found.source.text.splitlines()]


def told(found: PictureList) -> list[tuple[int | None, str, str]]:
    return [(problem.row, problem.field, problem.message) for problem in found.problems]


# --- folders ---------------------------------------------------------------------------------------------


def test_a_folder_is_a_pack_of_one_row_per_picture_in_natural_order(cats: Path) -> None:
    for number, name in enumerate(("img10.png", "IMG2.png", "img1.jpg", "a.webp")):
        kind = {".jpg": "JPEG", ".webp": "WEBP"}.get(Path(name).suffix, "PNG")
        (cats / name).write_bytes(picture(number, kind=kind))
    (cats / "IMG2.txt").write_text("it walks away")
    found = read(cats, prompt="it breathes", negative_prompt="blur")
    assert (found.source.pack_id, found.source.kind, found.source.document) == ("cats", "i2v", "")
    assert [row["names"] for row in rows(found)] == [["a.webp"], ["img1.jpg"], ["IMG2.png"], ["img10.png"]]
    assert [row["prompt"] for row in rows(found)] == [
        "it breathes",
        "it breathes",
        "it walks away",
        "it breathes",
    ]
    assert {row["negative_prompt"] for row in rows(found)} == {"blur"}
    assert {tuple(map(tuple, row["sizes"])) for row in rows(found)} == {((96, 64),)}
    hashes = [hashlib.sha256((cats / row["names"][0]).read_bytes()).hexdigest() for row in rows(found)]
    assert [row["images"] for row in rows(found)] == [[digest] for digest in hashes]
    assert [one.facts.sha256 for one in found.pictures] == hashes
    assert (found.problems, found.notes) == ((), ())


def test_names_sort_as_people_count() -> None:
    names = ["b", "img10", "Img2", "img2a", "img1", "img", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "b", "img", "img1", "Img2", "img2a", "img10"]


def test_the_same_content_is_the_same_revision_wherever_it_lies(tmp_path: Path) -> None:
    found = []
    for place in ("one", "two"):
        folder = tmp_path / place / "cats"
        folder.mkdir(parents=True)
        for number in (2, 10) if place == "one" else (10, 2):
            (folder / f"café{number}.png").write_bytes(picture(number))
        found.append(read(folder, prompt="it breathes").source)
    assert found[0] == found[1]
    other = read(tmp_path / "one/cats", prompt="it purrs").source
    assert other.sha256 != found[0].sha256
    assert (
        read_picture_list(tmp_path / "one/cats", "edit", prompt="it breathes").source.sha256
        != found[0].sha256
    )


def test_spellings_of_one_name_are_one_name(cats: Path) -> None:
    name = unicodedata.normalize("NFD", "café")
    (cats / f"{name}.png").write_bytes(picture())
    (cats / f"{unicodedata.normalize('NFC', name)}.txt").write_text("it steams")
    [row] = rows(read(cats))
    assert (row["names"], row["prompt"]) == ([unicodedata.normalize("NFC", "café.png")], "it steams")


@pytest.mark.parametrize(
    ("data", "prompt"),
    [
        (b"  it walks\n", "it walks"),
        (b"\xef\xbb\xbfit walks", "it walks"),
        (b"it walks\r\n\r\n  slowly\r\n", "it walks slowly"),
        ("ça bouge".encode(), "ça bouge"),
        (b"", "it breathes"),
        (b" \n\t\n", "it breathes"),
        (b"a" * 500 + b"\n", "a" * 500),
    ],
)
def test_captions_are_read_as_they_are_meant_and_an_empty_one_is_none(
    cats: Path, data: bytes, prompt: str
) -> None:
    (cats / "cat.png").write_bytes(picture())
    (cats / "cat.TXT").write_bytes(data)
    assert rows(read(cats, prompt="it breathes"))[0]["prompt"] == prompt


def test_a_caption_that_cannot_be_a_prompt_is_refused_by_its_name(cats: Path) -> None:
    captions = {"a": b"x" * 501, "b": "ça".encode("latin-1"), "c": b"x" * 70_000, "d": b"a\0b"}
    for number, (name, data) in enumerate(captions.items()):
        (cats / f"{name}.png").write_bytes(picture(number))
        (cats / f"{name}.txt").write_bytes(data)
    found = read(cats, prompt="it breathes")
    messages = [message for _, field, message in told(found) if field == "prompt"]
    assert messages[0] == (
        "Pack cats, row 1: the caption a.txt has 501 characters; a prompt has at most 500. Shorten it."
    )
    assert "Pack cats, row 2: the caption b.txt is not UTF-8 (line 1)" in messages[1]
    assert "the caption c.txt has more than 64 KiB" in messages[2]
    assert "the caption d.txt holds a NUL" in messages[3]
    assert found.bad_rows == {1, 2, 3, 4}


def test_rows_without_any_prompt_are_told_once_with_all_their_numbers(cats: Path) -> None:
    for number in range(6):
        (cats / f"{number}.png").write_bytes(picture(number))
    (cats / "2.txt").write_text("it walks")
    found = read(cats)
    [problem] = found.problems
    assert (problem.code, problem.field, problem.rows) == ("missing_prompt", "prompt", (1, 2, 4, 5, 6))
    assert problem.message.startswith("Pack cats, rows 1–2, 4–6: no prompt. ")
    assert "--prompt" in problem.message


def test_a_prompt_for_all_that_is_too_long_is_told_once(cats: Path) -> None:
    for number in range(3):
        (cats / f"{number}.png").write_bytes(picture(number))
    found = read(cats, prompt="x" * 501, negative_prompt="y" * 502)
    assert [field for _, field, _ in told(found)] == ["prompt", "negative_prompt"]
    assert "--prompt has 501 characters; at most 500" in found.problems[0].message
    assert found.bad_rows == {1, 2, 3}


def test_what_is_no_picture_is_left_out_and_told_where_it_looks_meant(cats: Path) -> None:
    (cats / "cat.png").write_bytes(picture())
    (cats / "cat.txt").write_text("it walks")
    for name in (".DS_Store", ".hidden.png", "Thumbs.db", "notes.md", "orphan.txt", "phone.HEIC", "old.gif"):
        (cats / name).write_bytes(b"x")
    (cats / "more").mkdir()
    (cats / "more/inner.png").write_bytes(picture(1))
    found = read(cats)
    assert [row["names"] for row in rows(found)] == [["cat.png"]]
    assert found.notes == (
        "No picture has the name of these captions, so they are not used: orphan.txt.",
        "Only PNG, JPEG, WebP and AVIF are read; left out: old.gif, phone.HEIC.",
        "Folders in it are not read: more.",
    )


def test_pictures_that_cannot_be_used_are_told_all_at_once_by_row_and_name(cats: Path) -> None:
    (cats / "1 good.png").write_bytes(picture())
    (cats / "2 empty.png").write_bytes(b"")
    (cats / "3 text.png").write_text("a castle")
    (cats / "4 cut.png").write_bytes(picture(1)[:-20])
    (cats / "5 large.png").write_bytes(bytes(7_864_321))
    (cats / "6 folder.png").mkdir()
    (cats / "7 gone.png").symlink_to(cats / "nowhere.png")
    found = read(cats, prompt="it breathes")
    assert [(row, field) for row, field, _ in told(found)] == [(row, "image") for row in range(2, 7)]
    assert [message.split(": ", 1)[1].split(" ")[:2] for _, _, message in told(found)] == [
        ["2", "empty.png"], ["3", "text.png"], ["4", "cut.png"], ["5", "large.png"], ["7", "gone.png"],
    ]  # fmt: skip
    assert "7,864,320 bytes (10 MB as base64)" in found.problems[3].message
    assert found.bad_rows == {2, 3, 4, 5, 6}
    assert len(found.pictures) == 1


def test_very_many_problems_are_counted_beyond_a_hundred(cats: Path) -> None:
    for number in range(MAX_TOLD + 7):
        (cats / f"{number}.png").write_bytes(b"")
    found = read(cats, prompt="it breathes")
    assert len(found.problems) == MAX_TOLD + 1
    assert found.problems[-1].message == "Pack cats: 7 more problems like these."


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], r"cats holds no pictures \(PNG, JPEG, WebP or AVIF\)\.$"),
        (["a.heic"], r"Save a\.heic as PNG or JPEG\."),
        (["more/"], r"Its folders are not read; give one of them: more\."),
    ],
)
def test_a_folder_without_pictures_says_what_to_do(cats: Path, files: list[str], words: str) -> None:
    for name in files:
        (cats / name).mkdir() if name.endswith("/") else (cats / name).write_bytes(b"")
    with pytest.raises(PackReadError, match=words):
        read(cats)


def test_a_folder_of_more_pictures_than_rows_of_a_pack_is_refused_before_any_is_opened(cats: Path) -> None:
    for number in range(10_001):
        (cats / f"{number}.png").touch()
    with pytest.raises(PackReadError, match=r"has 10,001 rows; a pack has at most 10,000\. Split it"):
        read(cats)


def test_a_name_that_is_no_text_is_refused(cats: Path) -> None:
    (cats / os.fsdecode(b"caf\xe9.png")).write_bytes(picture())
    found = read(cats, prompt="it breathes")
    assert "is not UTF-8; rename the file." in found.problems[0].message
    found.problems[0].message.encode()
    found.source.text.encode()


def test_one_picture_is_a_pack_of_one_row_with_its_caption(cats: Path) -> None:
    (cats / "cat.png").write_bytes(picture())
    (cats / "cat.txt").write_text("it walks")
    (cats / "dog.png").write_bytes(picture(1))
    found = read(cats / "cat.png")
    assert found.source.pack_id == "cat"
    assert [(row["names"], row["prompt"]) for row in rows(found)] == [(["cat.png"], "it walks")]


def test_equal_pictures_are_two_rows_and_one_picture(cats: Path) -> None:
    for name in ("a.png", "b.png"):
        (cats / name).write_bytes(picture())
    found = read(cats, prompt="it breathes")
    assert [row["names"] for row in rows(found)] == [["a.png"], ["b.png"]]
    assert len(found.pictures) == 1


PEAK = """
import resource, sys
from pathlib import Path
from jobs.packs.picture_lists import read_picture_list
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = read_picture_list(Path(sys.argv[1]), "i2v", prompt="it breathes")
assert not found.problems, found.problems
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_pictures_of_a_large_folder_are_never_in_memory_together(cats: Path) -> None:
    content = picture(kind="JPEG")
    for number in range(40):
        (cats / f"{number}.jpg").write_bytes(content + number.to_bytes(1) * 4 * 1024 * 1024)
    command = [sys.executable, "-c", PEAK, str(cats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 40 * 1024 * 1024


# --- lists -----------------------------------------------------------------------------------------------


@pytest.fixture
def listed(cats: Path) -> Path:
    """A folder with three pictures for lists that lie in it."""
    for number, name in enumerate(("a.png", "b.png", "sub/c.png")):
        (cats / name).parent.mkdir(exist_ok=True)
        (cats / name).write_bytes(picture(number))
    return cats


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def jsonl(*values: object) -> str:
    return "".join(f"{json.dumps(value)}\n" for value in values)


@pytest.mark.parametrize(
    "text",
    [
        "image,prompt,negative_prompt\na.png,it walks,blur\nsub/c.png,,\n",
        "\ufeffImage;Prompt;Negative_Prompt\r\na.png;it walks;blur\r\n\r\nsub/c.png;;\r\n",
        "prompt\timage\tnegative_prompt\nit walks\ta.png\tblur\n\tsub/c.png\n",
        'image, prompt, negative_prompt\n"a.png", "it\nwalks", blur\nsub\\c.png\n',
    ],
    ids=["commas", "excel", "tabs", "quotes"],
)
def test_a_csv_is_a_pack_with_prompts_of_its_own_or_for_all(listed: Path, text: str) -> None:
    found = read(write(listed, "walks.csv", text), prompt="it breathes", negative_prompt="grain")
    assert found.problems == ()
    assert found.source.pack_id == "walks"
    assert [(row["names"], row["prompt"], row["negative_prompt"]) for row in rows(found)] == [
        (["a.png"], "it walks", "blur"),
        (["c.png"], "it breathes", "grain"),
    ]


def test_json_lines_are_a_pack_like_a_csv(listed: Path) -> None:
    text = jsonl(
        {"image": "a.png", "prompt": "it walks", "negative_prompt": None},
        {"images": ["b.png", str(listed / "sub/c.png")], "prompt": " both walk\n"},
    )
    found = read_picture_list(write(listed, "walks.jsonl", "\ufeff" + text), "edit")
    assert found.problems == ()
    assert [(row["names"], row["prompt"]) for row in rows(found)] == [
        (["a.png"], "it walks"),
        (["b.png", "c.png"], "both walk"),
    ]
    assert len(found.pictures) == 3


@pytest.mark.parametrize(
    "text",
    [
        "images,prompt\na.png|b.png,it walks\n",
        "images,prompt\na.png; b.png,it walks\n",
        "images;prompt\na.png|b.png;it walks\n",
    ],
)
def test_several_pictures_of_a_csv_are_parted_by_bars_or_semicolons(listed: Path, text: str) -> None:
    [row] = rows(read(write(listed, "walks.csv", text)))
    assert row["names"] == ["a.png", "b.png"]


def test_one_picture_in_many_rows_is_opened_once(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, whole = list[str](), Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        opened.append(path.name)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    found = read(write(listed, "walks.csv", "image,prompt\n" + "a.png,it walks\n" * 50))
    assert len(rows(found)) == 50
    assert opened.count("a.png") == 1


def test_the_json_beside_a_list_is_its_settings(listed: Path) -> None:
    (listed / "walks.json").write_text('{"i2v": {"num_frames": 49}}')
    found = read(write(listed, "walks.csv", "image,prompt\na.png,it walks\n"))
    assert found.source.document == '{"i2v": {"num_frames": 49}}'


def test_everything_wrong_with_a_csv_is_told_at_once_by_row_line_and_field(listed: Path) -> None:
    text = (
        "image,prompt,seed\n"
        "nowhere.png,it walks\n"
        "\n"
        "../other.png,it walks\n"
        "https://example.org/cat.png,it walks\n"
        ",it walks\n"
        "a.png,it walks, slowly, and turns\n"
        f"a.png,{'x' * 501}\n"
        "sub,it walks\n"
        "sub/../b.png,it walks,7\n"
    )
    found = read(write(listed, "walks.csv", text))
    outside = "leads out of the list's folder; write its whole path, or move it into the folder."
    commas = 'it has 4 values, and there are 3 columns. Put text that holds a comma in double quotes: "a cat, asleep".'
    assert [(row, field, message.split(": ", 1)[1]) for row, field, message in told(found)] == [
        (1, "image", "line 2: nowhere.png does not exist."),
        (2, "image", f"line 4: ../other.png {outside}"),
        (3, "image", "line 5: https://example.org/cat.png is an address; give the path of a file."),
        (4, "image", "line 6: it names no picture; write its path in image."),
        (5, "", f"line 7: {commas}"),
        (6, "prompt", "line 8: the prompt has 501 characters; at most 500 are taken. Shorten it."),
        (7, "image", "line 9: sub is a folder. Name a picture."),
    ]
    assert found.bad_rows == {1, 2, 3, 4, 5, 6, 7}
    assert found.notes == ("Not read: seed; columns are image, images, prompt, negative_prompt.",)


def test_everything_wrong_with_json_lines_is_told_at_once(listed: Path) -> None:
    text = (
        '{"image": "a.png", "prompt": 5}\n'
        "no json\n"
        "[1]\n"
        '{"images": "a.png", "prompt": "it walks"}\n'
        '{"images": ["a.png", 5], "prompt": "it walks"}\n'
        '{"image": "a.png", "images": ["b.png"], "prompt": "it walks"}\n'
        '{"prompt": "it walks"}\n'
        '{"image": "a\\u0000.png", "prompt": "it walks"}\n'
        '{"image": "\\ud800.png", "prompt": "it walks"}\n'
    )
    found = read(write(listed, "walks.jsonl", text))
    assert [(row, field) for row, field, _ in told(found)] == [
        (1, "prompt"), (2, ""), (3, ""), (5, "images"), (6, "images"), (7, "image"), (8, "image"), (9, "image"),
    ]  # fmt: skip
    assert "row 2: line 2: it is not one JSON object" in told(found)[1][2]
    for _, _, message in told(found):
        assert "\0" not in message
        message.encode()
    found.source.text.encode()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "", "has no rows"),
        ("x.csv", "image,prompt\n", "has no rows"),
        ("x.jsonl", "\n", "has no rows"),
        ("x.csv", "a.png,it walks\n", "names no column `image`"),
        ("x.csv", "image,image\na.png,b.png\n", "has the column image twice"),
        ("x.csv", "image,prompt\n" + "a.png,x\n" * 10_001, "has 10,001 rows; a pack has at most 10,000"),
        ("x.csv", "image,prompt\na.png," + "x" * 200_000, "cannot be read as CSV: line 2"),
    ],
)  # fmt: skip
def test_a_list_that_is_none_is_refused_in_one_sentence(
    listed: Path, name: str, text: str, words: str
) -> None:
    with pytest.raises(PackReadError, match=words):
        read(write(listed, name, text))


def test_a_list_that_is_not_there_or_no_text_is_refused(listed: Path) -> None:
    with pytest.raises(PackReadError, match=r"x\.csv does not exist"):
        read(listed / "x.csv")
    (listed / "x.csv").write_bytes(b"image,prompt\na.png,\xe7a\n")
    with pytest.raises(PackReadError, match="is not UTF-8"):
        read(listed / "x.csv")


def test_it_is_known_by_its_looks_what_a_path_is(listed: Path, tmp_path: Path) -> None:
    write(listed, "x.csv", "")
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs/castle.txt").write_text("a castle")
    assert all(map(looks_like_pictures, (listed, listed / "x.csv", listed / "a.png")))
    others = (tmp_path / "packs", tmp_path / "packs/castle.txt", tmp_path / "nowhere", tmp_path / "x.csv")
    assert not any(map(looks_like_pictures, others))


def test_words_are_one_line() -> None:
    assert one_line("\ufeff a\r\n\n b \n") == "a b"
