"""What the pixels of one picture say: are all there, is anything on it, is it the same as another.

Nothing is kept but a few words and a fingerprint. Pillow only, in bounds: a picture that is too large to be looked at
is not looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import Image, ImageChops

from jobs.errors import NoFilmError
from jobs.films import FilmFacts, read_film
from webui.work.pictures import BROKEN, Header, NoPictureError, open_picture, read_header
from webui.work.png_data import PngData, read_png

MOST_PIXELS: Final = 64_000_000
"""About 250 MB decoded."""
TOP_ROWS: Final = 32
FLAT_RANGE: Final = 8
"""Levels of 255 within which every channel of a picture of one colour lies: what a lossy format makes of one."""
BLACK_BELOW: Final = 3
LARGEST_DIFFERENCE: Final = 1
"""Levels of 255: an odd factor is rounded in another way for a part of a picture than for the whole."""
TELLING_DIFFERENCE: Final = 16
"""Levels of 255 between Lanczos and the coarsest way, from which on a resize can be told from a model's work."""
SMALL_SIDE_PX: Final = 256
"""A JPEG of at least this size is read at an eighth, which takes a third of the time."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `problem` says why it is not whole; `seen` False: its pixels were not looked at, and `problem`
    says why, or that it does not open at all. `film` is what a film is beside a picture.

    Two pictures of one server with the same `fingerprint` have the same pixels, whatever text is in their files.
    """

    width_px: int = 0
    height_px: int = 0
    whole: bool = True
    seen: bool = True
    problem: str = ""
    flat: bool = False
    black: bool = False
    fingerprint: str = ""
    film: FilmFacts | None = None

    @property
    def size_px(self) -> tuple[int, int]:
        return self.width_px, self.height_px


def look_at(content: bytes) -> Look:
    """Never raises for any bytes."""
    try:
        header = read_header(content, whole=True)
    except NoPictureError as exc:
        return Look(whole=False, seen=False, problem=str(exc))
    size = Look(header.width_px, header.height_px)
    if header.width_px * header.height_px > MOST_PIXELS:
        return replace(size, seen=False, problem=f"it has more than {MOST_PIXELS:,} pixels")
    try:
        png = read_png(content) if header.format == "PNG" else None
        return _of_png(size, png, content) if png else _decoded(size, header, content)
    except MemoryError:
        return replace(size, seen=False, problem="this machine had no memory to look at it")
    except BROKEN as exc:
        return replace(size, whole=False, problem=f"it does not decode ({exc})")


def look_at_film(content: bytes) -> Look:
    """Every frame is looked at. Never raises for any bytes, but MemoryError: what was not seen cannot be accepted."""
    try:
        film = read_film(content)
    except NoFilmError as exc:
        return Look(whole=False, problem=str(exc))
    return Look(
        film.width_px,
        film.height_px,
        flat=film.flat,
        black=film.black,
        fingerprint=film.fingerprint,
        film=film,
    )


def _of_png(size: Look, png: PngData, content: bytes) -> Look:
    share = png.share_present()
    if share < 1:
        return replace(size, whole=False, problem=f"its pixel data ends after {share:.0%} of the picture")
    checksum = zlib.crc32(png.packed)
    fingerprint = f"png {size.width_px}x{size.height_px} {png.colour} {len(png.packed)} {checksum:08x}"
    flat = black = True
    # Most pictures show something in their first rows; a sky needs more of them.
    for rows in (TOP_ROWS, size.height_px // 4):
        top = png.top(rows) if (flat or black) and rows else None
        if top is not None:
            flat, black = _emptiness(top)
    if flat or black:
        with open_picture(content) as picture:
            flat, black = _emptiness(picture)
    return replace(size, flat=flat, black=black, fingerprint=fingerprint)


def _decoded(size: Look, header: Header, content: bytes) -> Look:
    reduced = header.format == "JPEG" and min(size.size_px) >= SMALL_SIDE_PX
    with open_picture(content) as picture:
        if reduced:
            picture.draft(picture.mode, (size.width_px // 8, size.height_px // 8))
        flat, black = _emptiness(picture)
        checksum = zlib.crc32(picture.tobytes())
    if reduced and (flat or black):
        # A fine pattern has one colour at an eighth of its size.
        with open_picture(content) as picture:
            flat, black = _emptiness(picture)
    fingerprint = f"{header.format} {size.width_px}x{size.height_px} {checksum:08x}"
    return replace(size, flat=flat, black=black, fingerprint=fingerprint)


def _emptiness(picture: Image.Image) -> tuple[bool, bool]:
    """Whether it is of one colour, and whether that is black; what alpha draws is drawn."""
    picture.load()
    if picture.mode in ("P", "PA", "CMYK", "YCbCr"):
        picture = picture.convert("RGBA" if "transparency" in picture.info or picture.mode == "PA" else "RGB")
    scale = 257 if picture.mode.startswith("I") else 1
    ranges = [(low / scale, high / scale) for low, high in _extrema(picture)]
    colours = ranges[:-1] if picture.mode in ("RGBA", "LA") else ranges
    alpha = ranges[len(colours) :]
    drawn_by_alpha = any(high - low > FLAT_RANGE for low, high in alpha)
    flat = not drawn_by_alpha and all(high - low <= FLAT_RANGE for low, high in colours)
    black = not drawn_by_alpha and all(high < BLACK_BELOW for _, high in colours)
    return flat, black


def _extrema(picture: Image.Image) -> Sequence[tuple[float, float]]:
    """Least and most of each channel, also where there is one alone."""
    found: Any = picture.getextrema()
    return found if isinstance(found[0], tuple) else (found,)


def is_plain_resize(source: bytes, content: bytes) -> bool | None:
    """Whether `content` is `source` enlarged as Pillow's Lanczos does, to the pixel: what a WebUI without the weights
    of an upscaler gives. None where that cannot be told: lossy formats, nothing enlarged, an edge so smooth
    that every way of enlarging it gives nearly the same.
    """
    before, after = read_png(source), read_png(content)
    if before is None or after is None or before.interlaced or after.interlaced:
        return None
    if (
        max(before.width_px, after.width_px) * 4 * TOP_ROWS > MOST_PIXELS
        or after.height_px <= before.height_px
    ):
        return None
    scale = before.height_px / after.height_px
    # Lanczos looks three rows further than where it is.
    rows = int(min(before.height_px, TOP_ROWS) / scale) - 4 * round(1 / scale + 0.5)
    try:
        small, large = before.top(TOP_ROWS), after.top(rows)
        if rows < 4 or small is None or large is None or _emptiness(small)[0]:
            return None
        small, large = small.convert("RGB"), large.convert("RGB")
        size, box = (after.width_px, rows), (0, 0, before.width_px, rows * scale)
        resized, coarse = (
            small.resize(size, method, box=box)
            for method in (Image.Resampling.LANCZOS, Image.Resampling.NEAREST)
        )
    except BROKEN:
        return None
    if _difference(resized, coarse) < TELLING_DIFFERENCE:
        return None
    return _difference(resized, large) <= LARGEST_DIFFERENCE


def _difference(one: Image.Image, other: Image.Image) -> float:
    """The largest of any pixel and channel, in levels of 255."""
    return max(most for _, most in _extrema(ImageChops.difference(one, other)))
