"""Input pictures as the models take them: upright, without transparency, in the shape of the result."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from webui.work.fitting import UnusableInputError, fitted, read_rgb
from webui.work.limits import MAX_INPUT_PIXELS

ROOT = Path(__file__).parents[2]
RED, BLUE, BLACK, WHITE = (255, 0, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def halves(width: int, height: int) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def test_a_picture_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    upright = read_rgb(saved(halves(40, 20), exif=exif))
    assert (upright.mode, upright.size) == ("RGB", (20, 40))
    assert (upright.getpixel((10, 5)), upright.getpixel((10, 35))) == (BLUE, RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_becomes_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (255, 255, 255, 255) if mode == "LA" else (255, 0, 0, 255))
    flat = read_rgb(saved(image.convert(mode) if mode != "PA" else image.convert("P"), "PNG"))
    assert flat.mode == "RGB"
    if mode != "PA":
        assert flat.getpixel((3, 3)) == WHITE
        assert flat.getpixel((0, 0)) == (WHITE if mode == "LA" else RED)


def test_a_transparent_colour_of_a_palette_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    flat = read_rgb(saved(image, transparency=1))
    assert (flat.getpixel((0, 0)), flat.getpixel((1, 0))) == (RED, WHITE)


def test_sixteen_bits_of_grey_keep_their_brightness() -> None:
    image = Image.new("I;16", (2, 1))
    image.putpixel((0, 0), 32_768)
    image.putpixel((1, 0), 65_535)
    assert [read_rgb(saved(image)).getpixel((x, 0)) for x in (0, 1)] == [(128,) * 3, (255,) * 3]


@pytest.mark.parametrize(
    ("mode", "kind"), [("1", "PNG"), ("L", "JPEG"), ("P", "PNG"), ("CMYK", "JPEG"), ("RGB", "WEBP")]
)
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    read = read_rgb(saved(Image.new("RGB", (8, 8), WHITE).convert(mode), kind))
    assert (read.mode, read.getpixel((4, 4))) == ("RGB", WHITE)


def test_a_photo_with_a_preview_behind_it_is_no_animation() -> None:
    photo = saved(halves(8, 8), "MPO", save_all=True, append_images=[halves(4, 4)])
    assert read_rgb(photo).size == (8, 8)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    moving = saved(halves(8, 8), kind, save_all=True, append_images=[Image.new("RGB", (8, 8))], duration=50)
    with pytest.raises(UnusableInputError, match="animation"):
        read_rgb(moving)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_another_format_is_refused(kind: str) -> None:
    with pytest.raises(UnusableInputError, match="none of PNG, JPEG, WEBP, AVIF"):
        read_rgb(saved(halves(8, 8), kind))


@pytest.mark.parametrize(
    "content", [b"", b"PNG", saved(halves(64, 64))[:-40], saved(halves(64, 64), "JPEG")[:300]]
)
def test_a_broken_picture_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableInputError):
        read_rgb(content)


def test_an_avif_whose_data_is_broken_is_refused() -> None:
    """Its decoder raises what no other one does."""
    whole = saved(halves(64, 64), "AVIF")
    data = whole.index(b"mdat") + 4
    with pytest.raises(UnusableInputError, match="cannot be decoded"):
        read_rgb(whole[:data] + b"\xff" * (len(whole) - data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of that size whose data is a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (8193, 8192), (65_535, 65_535)])
def test_too_many_pixels_are_refused_by_the_header(width: int, height: int) -> None:
    with pytest.raises(UnusableInputError, match=f"{MAX_INPUT_PIXELS:,} are the most"):
        read_rgb(bomb(width, height))


def test_crop_takes_the_middle_and_stretches_nothing() -> None:
    film = fitted(halves(200, 50), 64, 64, "crop")
    assert film.size == (64, 64)
    assert (film.getpixel((5, 32)), film.getpixel((58, 32))) == (RED, BLUE)


def test_pad_shows_everything_between_black_bars() -> None:
    film = fitted(halves(200, 100), 64, 64, "pad")
    assert film.size == (64, 64)
    assert [film.getpixel((10, y)) for y in (2, 32, 61)] == [BLACK, RED, BLACK]
    assert film.getpixel((60, 32)) == BLUE


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (64, 48), (63, 47)])
def test_any_shape_comes_to_the_size_of_the_film(size: tuple[int, int], fit: Any) -> None:
    assert fitted(Image.new("RGB", size), 64, 48, fit).size == (64, 48)


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    image = halves(64, 48)
    assert fitted(image, 64, 48, "crop").tobytes() == image.tobytes()


def test_fitting_and_the_worker_need_neither_django_nor_pydantic() -> None:
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.partition('.')[0] in {'django', 'pydantic', 'requests', 'torch'}: raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import webui.work.fitting, webui.drivers.diffsynth.worker.__main__\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
