"""What a `Range` header asks of a file, by every form of it that the standard has."""

from __future__ import annotations

from pathlib import Path

import pytest
from waitress.buffers import ReadOnlyFileBasedBuffer

from jobs.pages.ranges import FilePart, NoSuchPartError, _PartOfFile, part_of

SIZE = 1_000


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, 999),
        ("bytes=0-999", 0, 999),
        ("bytes=0-5000", 0, 999),
        ("bytes=999-", 999, 999),
        ("bytes=500-600", 500, 600),
        ("bytes=-1", 999, 999),
        ("bytes=-1000", 0, 999),
        ("bytes=-5000", 0, 999),
        ("bytes=-999999999999999999", 0, 999),
        ("bytes= 10-20 ", 10, 20),
        ("Bytes=10-20", 10, 20),
        ("bytes=007-010", 7, 10),
    ],
)
def test_a_single_range_is_a_part(header: str, first: int, last: int) -> None:
    part = part_of(header, SIZE)
    assert part == FilePart(first, last)
    assert part.size == last - first + 1


@pytest.mark.parametrize(
    "header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=999999999999999999-"]
)
def test_a_range_behind_the_end_is_no_part(header: str) -> None:
    with pytest.raises(NoSuchPartError):
        part_of(header, SIZE)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"])
def test_an_empty_file_has_no_part(header: str) -> None:
    with pytest.raises(NoSuchPartError):
        part_of(header, 0)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes= - ",
        "bytes=5-4",
        "bytes=5",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=--5",
        "bytes=+1-5",
        "bytes=1.0-5",
        "bytes=0x1-5",
        "bytes=²-5",
        "bytes=٣-٥",
        "bytes=0-1,5-6",
        "bytes=0-1,",
        "bytes 0-1",
        "items=0-1",
        "bytes=0-1\n",
        f"bytes={'9' * 5_000}-",
        f"bytes=-{'9' * 5_000}",
        "bytes=" + "0-1," * 5_000,
    ],
)
def test_everything_else_is_ignored(header: str) -> None:
    assert part_of(header, SIZE) is None


def test_a_part_is_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(range(100)))
    part = _PartOfFile(path.open("rb"), FilePart(10, 19))
    assert part.read() == bytes(range(10, 20))
    assert part.read() == b""
    assert part.seek(-3, 2) == 7
    assert part.read(100) == bytes((17, 18, 19))
    assert part.seek(0) == part.tell() == 0
    # As the web server reads it.
    buffer = ReadOnlyFileBasedBuffer(part)
    assert buffer.prepare(10) == 10
    assert buffer.get(4) == bytes(range(10, 14))
    buffer.skip(4)
    assert buffer.get(100) == bytes(range(14, 20))
    buffer.close()
    assert part.closed
    assert part._file.closed
