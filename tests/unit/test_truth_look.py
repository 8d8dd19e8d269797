"""What the pixels of a picture say: whole, flat, black, the same as another, or only resized."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from jobs.truth import look as looking
from jobs.truth.look import is_plain_resize, look_at
from webui.work.png_data import read_png

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")


def noise(width: int = 320, height: int = 272, seed: int = 7, mode: str = "RGB") -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = random.Random(seed).randbytes(width * height * bands)
    return Image.frombytes(mode, (width, height), data)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_data(content: bytes, packed: bytes) -> bytes:
    """The same PNG with other pixel data and sound checksums."""
    return content[:33] + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", FORMATS)
def test_picture_of_something_is_whole_and_neither_flat_nor_black(kind: str) -> None:
    look = look_at(saved(noise(), kind))
    assert (look.size_px, look.whole, look.seen, look.flat, look.black) == (
        (320, 272),
        True,
        True,
        False,
        False,
    )
    assert look.fingerprint


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_is_judged(mode: str) -> None:
    picture = (
        noise().convert("L").point(lambda level: level * 257, "I").convert("I;16") if mode == "I;16" else None
    )
    look = look_at(saved(picture or noise().convert(mode)))
    assert (look.whole, look.seen, look.flat, look.black) == (True, True, False, False)
    empty = look_at(saved(Image.new(mode, (320, 272))))
    assert (empty.whole, empty.flat, empty.black) == (True, True, True)


def test_png_with_sound_checksums_and_half_of_its_pixel_data_is_not_whole() -> None:
    content = saved(noise())
    png = read_png(content)
    assert png is not None
    rows = zlib.decompress(png.packed)
    for packed in (zlib.compress(rows[: len(rows) // 2]), png.packed[: len(png.packed) // 2]):
        look = look_at(with_data(content, packed))
        assert not look.whole
        assert "50%" in look.problem or "51%" in look.problem
    assert look_at(with_data(content, zlib.compress(rows))).whole


def test_interlaced_png_is_whole_only_with_all_its_passes() -> None:
    """Pillow writes none: made by hand, pass after pass."""
    header = struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 1)
    rows = b"\0\x10" + b"\0\x20" + b"\0\x30\x40" + b"\0\x50\0\x60" + b"\0\x70\x80\xf0"
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content = start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    png = read_png(content)
    assert png is not None
    assert png.expected_bytes == len(rows)
    assert look_at(content).whole
    assert not look_at(start + chunk(b"IDAT", zlib.compress(rows[:-4])) + chunk(b"IEND", b"")).whole


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_file_that_was_cut_off_is_not_whole(kind: str, share: float) -> None:
    content = saved(noise(), kind)
    assert not look_at(content[: int(len(content) * share)]).whole


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", saved(noise(), "BMP")])
def test_what_is_no_picture_is_not_whole_and_raises_nothing(content: bytes) -> None:
    look = look_at(content)
    assert (look.whole, look.seen) == (False, False)
    assert look.problem


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("colour", "black"), [((0, 0, 0), True), ((2, 2, 2), True), ((3, 200, 40), False)])
def test_one_colour_is_flat_and_black_only_below_three(
    kind: str, colour: tuple[int, ...], black: bool
) -> None:
    look = look_at(
        saved(Image.new("RGB", (320, 272), colour), kind, **({"lossless": True} if kind == "WEBP" else {}))
    )
    assert look.flat
    if kind in ("PNG", "WEBP"):
        assert look.black is black


def test_nearly_one_colour_is_flat_and_a_fine_pattern_is_not() -> None:
    nearly = noise().point(lambda level: 120 + level % 6)
    assert look_at(saved(nearly)).flat
    board = Image.new("1", (512, 512))
    board.putdata([(x + y) % 2 for y in range(512) for x in range(512)])
    for kind in ("PNG", "JPEG"):
        assert not look_at(saved(board.convert("L"), kind)).flat


def test_one_spot_below_the_first_rows_is_something() -> None:
    for colour in (0, 90):
        picture = Image.new("RGB", (640, 640), (colour,) * 3)
        picture.paste((200, 30, 30), (300, 500, 340, 540))
        look = look_at(saved(picture))
        assert (look.flat, look.black) == (False, False)


def test_what_only_its_transparency_draws_is_something() -> None:
    drawn = Image.new("RGBA", (320, 272))
    drawn.putalpha(noise(mode="L"))
    look = look_at(saved(drawn))
    assert (look.flat, look.black) == (False, False)


@pytest.mark.parametrize("kind", FORMATS)
def test_fingerprint_is_that_of_the_pixels_and_not_of_the_text(kind: str) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "another picture, it says")
    exif = Image.Exif()
    exif[0x010E] = "another picture, it says"
    options = {"pnginfo": text} if kind == "PNG" else {"exif": exif}
    one, same, other = saved(noise(), kind), saved(noise(), kind, **options), saved(noise(seed=8), kind)
    assert one != same
    assert look_at(one).fingerprint == look_at(same).fingerprint != look_at(other).fingerprint


def test_picture_that_is_too_large_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "MOST_PIXELS", 1000)
    look = look_at(saved(noise()))
    assert (look.whole, look.seen, look.fingerprint) == (True, False, "")
    assert "1,000 pixels" in look.problem


def test_no_memory_is_no_failure_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(looking, "_of_png", full)
    look = look_at(saved(noise()))
    assert (look.whole, look.seen) == (True, False)


@pytest.mark.parametrize("factor", [1.5, 2, 4])
def test_plain_resize_is_told_from_one_by_a_model(factor: float) -> None:
    small = noise(160, 120)
    size = int(160 * factor), int(120 * factor)
    plain = small.resize(size, Image.Resampling.LANCZOS)
    other = plain.copy()
    other.paste((1, 2, 3), (5, 5, 7, 7))
    assert is_plain_resize(saved(small), saved(plain)) is True
    assert is_plain_resize(saved(small), saved(other)) is False
    assert is_plain_resize(saved(small), saved(small.resize(size, Image.Resampling.BICUBIC))) is False


def test_where_nothing_can_be_seen_of_a_resize_nothing_is_said() -> None:
    small = noise(160, 120)
    large = small.resize((320, 240), Image.Resampling.LANCZOS)
    flat = Image.new("RGB", (160, 120), (9, 9, 9))
    assert is_plain_resize(saved(small), saved(large, "JPEG")) is None
    assert is_plain_resize(saved(flat), saved(flat.resize((320, 240)))) is None
    assert is_plain_resize(saved(large), saved(small)) is None
    assert is_plain_resize(b"", os.urandom(100)) is None
