"""Pictures drawn from a request: a landscape of its seed and words, with the facts written on it.

Same arguments, same pixels, on every machine (the font comes with Pillow). No HTTP and no PNG in here.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

SMOOTH_PIXELS = 1024 * 1024
"""Up to this area the landscape is drawn at twice the size and halved, so that its edges are smooth."""

SMALLEST_CAPTION_PX = 96
"""Pictures narrower or lower than this carry colours only: no letter would be readable."""

RIDGES, BALLOONS = 5, 5
MAX_LINES, MAX_FACTS = 3, 2


@dataclass(frozen=True)
class Palette:
    """Colours of sky (upper end, lower end), sun, and of the farthest and the nearest hills."""

    zenith: Colour
    horizon: Colour
    sun: Colour
    far: Colour
    near: Colour


PALETTES = (
    Palette((38, 50, 104), (246, 166, 120), (255, 236, 200), (176, 124, 138), (28, 22, 48)),
    Palette((84, 58, 140), (240, 150, 184), (255, 226, 238), (168, 116, 170), (34, 18, 54)),
    Palette((22, 92, 138), (168, 222, 226), (255, 250, 226), (112, 170, 186), (10, 34, 52)),
    Palette((200, 92, 56), (255, 214, 142), (255, 246, 214), (214, 140, 96), (62, 22, 20)),
    Palette((30, 110, 104), (206, 230, 168), (254, 252, 222), (122, 176, 142), (10, 42, 38)),
    Palette((18, 24, 62), (86, 112, 176), (238, 242, 255), (82, 96, 150), (10, 12, 34)),
    Palette((146, 54, 92), (255, 186, 150), (255, 238, 216), (196, 116, 122), (48, 14, 36)),
    Palette((96, 148, 208), (250, 236, 204), (255, 255, 240), (158, 184, 192), (36, 58, 62)),
)


@dataclass(frozen=True)
class Caption:
    """What a person reads on a picture."""

    badge: str
    """Stage and pass, for example `hires fix 512x512 to 1024x1024`."""
    prompt: str
    facts: str
    """Seed, size and sampling settings, in one line."""


def landscape(shape: str, words: str, width: int, height: int, details: str = "") -> Image.Image:
    """Hills under a sky: the words choose the colours, `shape` (any text) seeds the outlines, `details` the balloons.

    Another shape is another picture, other details are the same one with small differences.
    """
    scale = 2 if width * height <= SMOOTH_PIXELS else 1
    wide, high = width * scale, height * scale
    palette = PALETTES[hashlib.sha256(words.encode()).digest()[0] % len(PALETTES)]
    rng = random.Random(shape)  # noqa: S311 - a picture, not a secret
    image = _sky(palette, wide, high)
    draw = ImageDraw.Draw(image)
    _draw_sun(draw, rng, palette, wide, high)
    for layer in range(RIDGES):
        _draw_ridge(draw, rng, palette, layer / (RIDGES - 1), wide, high)
    if details:
        _draw_balloons(draw, details, wide, high)
    return image.reduce(scale) if scale > 1 else image


def caption(image: Image.Image, text: Caption, *, covers_another: bool = False) -> None:
    """Write badge, prompt and facts onto the picture, as large as it allows.

    `covers_another`: the picture may carry an older caption, which must not shine through.
    """
    width, height = image.size
    if min(width, height) < SMALLEST_CAPTION_PX:
        return
    size = max(10, min(width, height) // 26)
    margin = size
    big, small = _font(size), _font(max(9, size * 3 // 4))
    lines = _wrapped(text.prompt or "(no prompt)", big, width - 2 * margin, max_lines=MAX_LINES)
    facts = _wrapped(text.facts, small, width - 2 * margin, max_lines=MAX_FACTS)
    step, small_step = int(size * 1.35), int(size * 1.05)
    line_count, fact_count = (MAX_LINES, MAX_FACTS) if covers_another else (len(lines), len(facts))
    panel = line_count * step + fact_count * small_step + int(size * 1.5)
    _shade(image, (0, height - panel, width, height), 1.0 if covers_another else 0.62)
    draw = ImageDraw.Draw(image)
    top = height - panel + int(size * 0.6)
    for line in lines:
        draw.text((margin, top), line, font=big, fill=(255, 255, 255))
        top += step
    top += int(size * 0.25)
    for line in facts:
        draw.text((margin, top), line, font=small, fill=(214, 220, 232))
        top += small_step
    badge(image, text.badge)


def badge(image: Image.Image, words: str) -> None:
    """Write a few words onto a rounded label in the upper left corner."""
    width, height = image.size
    if min(width, height) < SMALLEST_CAPTION_PX:
        return
    size = max(10, min(width, height) // 30)
    font = _font(size)
    margin, pad = size, size // 2
    words = _wrapped(words, font, width - 2 * (margin + pad), max_lines=1)[0]
    right = margin + 2 * pad + math.ceil(font.getlength(words))
    box = (margin, margin, right, margin + int(size * 1.2) + 2 * pad)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(box, radius=pad * 2, fill=(24, 28, 38), outline=(255, 255, 255), width=1)
    draw.text((margin + pad, margin + pad), words, font=font, fill=(255, 255, 255))


def mark(image: Image.Image, box: tuple[int, int, int, int], words: str) -> None:
    """A thin frame with rounded corners around a place, and words on its lower edge."""
    if min(image.size) < SMALLEST_CAPTION_PX:
        return
    left, top, right, bottom = box
    size = max(9, min(image.size) // 40)
    font = _font(size)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(box, radius=max(2, (right - left) // 8), outline=(255, 255, 255), width=1)
    wide = math.ceil(font.getlength(words)) + size
    left = max(0, min(left, image.width - wide))
    top = min(bottom, image.height - int(size * 1.6))
    draw.rounded_rectangle(
        (left, top, left + wide, top + int(size * 1.6)), radius=size // 2, fill=(24, 28, 38)
    )
    draw.text((left + size // 2, top + int(size * 0.2)), words, font=font, fill=(255, 255, 255))


def colour_of(words: str) -> Colour:
    """A colour of their own for any words."""
    red, green, blue = hashlib.sha256(words.encode()).digest()[:3]
    return red, green, blue


def half_finished(image: Image.Image, share: float) -> Image.Image:
    """The picture as it looks when sampling stops after this share (0-1) of its steps: coarse blocks."""
    width, height = image.size
    block = max(2, int(32 * (1 - share)))
    coarse = image.resize((max(1, width // block), max(1, height // block)), Image.Resampling.BOX)
    return coarse.resize((width, height), Image.Resampling.NEAREST)


def _sky(palette: Palette, wide: int, high: int) -> Image.Image:
    column = Image.new("RGB", (1, 64))
    for y in range(64):
        column.putpixel((0, y), _mixed(palette.zenith, palette.horizon, min(1.0, y / 40)))
    rows = column.resize((1, high), Image.Resampling.BICUBIC)
    return rows.resize((wide, high), Image.Resampling.NEAREST)


def _draw_sun(draw: ImageDraw.ImageDraw, rng: random.Random, palette: Palette, wide: int, high: int) -> None:
    x, y = rng.uniform(0.3, 0.85) * wide, rng.uniform(0.2, 0.4) * high
    radius = rng.uniform(0.06, 0.11) * min(wide, high)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=palette.sun)


def _draw_ridge(
    draw: ImageDraw.ImageDraw, rng: random.Random, palette: Palette, nearness: float, wide: int, high: int
) -> None:
    base = high * (0.45 + 0.38 * nearness)
    swing = high * (0.11 - 0.04 * nearness)
    waves = [
        (rng.uniform(least, most), rng.uniform(0, math.tau), share)
        for least, most, share in ((0.6, 1.6, 1.0), (2, 5, 0.4), (7, 13, 0.12))
    ]
    points: list[tuple[float, float]] = [(0, high)]
    for index in range(97):
        at = index / 96
        rise = sum(share * math.sin(math.tau * turns * at + phase) for turns, phase, share in waves)
        points.append((at * wide, base - swing * rise))
    points.append((wide, high))
    draw.polygon(points, fill=_mixed(palette.far, palette.near, nearness))


def _draw_balloons(draw: ImageDraw.ImageDraw, details: str, wide: int, high: int) -> None:
    """Above the place of the caption and below that of the badge, in colours that show even in a few pixels."""
    digest = hashlib.sha256(details.encode()).digest()
    radius = max(2.0, min(wide, high) / 60)
    for index in range(BALLOONS):
        across, down, *colour = digest[index * 5 : index * 5 + 5]
        x, y = wide * (0.05 + 0.9 * across / 255), high * (0.16 + 0.44 * down / 255)
        red, green, blue = colour
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(red, green, blue))


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _shade(image: Image.Image, box: tuple[int, int, int, int], strength: float) -> None:
    part = image.crop(box)
    image.paste(Image.blend(part, Image.new("RGB", part.size, (10, 12, 20)), strength), box)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # pragma: no cover
        raise RuntimeError("Pillow was built without FreeType: the simulator cannot write on its pictures")
    return font


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float, *, max_lines: int) -> list[str]:
    """The text in at most so many lines; what does not fit is replaced by an ellipsis."""
    lines: list[str] = []
    words = text[:600].split()
    line = ""
    for index, word in enumerate(words):
        wider = f"{line} {word}".strip()
        if font.getlength(wider) <= width:
            line = wider
            continue
        if len(lines) == max_lines - 1:
            line = " ".join([line, *words[index:]]).strip()
            break
        if line:
            lines.append(line)
        line = word
    return [_cut(part, font, width) for part in [*lines, line]]


def _cut(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[: max(0, min(len(line) - 1, int(len(line) * width / max(1.0, font.getlength(line)))))]
    return line.rstrip() + "…"
