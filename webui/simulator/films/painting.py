"""What a simulated film or edit looks like: the input picture, moving or tinted, and on it what it was made with.

Same order, same pixels. Another seed moves another way, in another colour.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from webui.simulator.drawing import SMALLEST_CAPTION_PX, Colour, badge, colour_of

ZOOM = 0.3
"""The share of width and height that has left the frame at the end of a film."""
FLAT: Colour = (128, 96, 64)
WHITE, PALE, DARK = (255, 255, 255, 255), (214, 220, 232, 255), (10, 12, 20, 176)
SMALL_FONTS = (12, 11, 10, 9, 8, 7)


@dataclass(frozen=True)
class FilmOrder:
    """What is truly made; faults may have changed it from what was asked for."""

    kind: str
    pictures: tuple[Image.Image, ...]
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    used: dict[str, Any]
    """Every parameter, as the result tells of it."""
    frames: int = 1
    fps: int = 1
    is_frozen: bool = False
    is_flat: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


def film(order: FilmOrder) -> Iterator[Image.Image]:
    """The frames. The first shows the whole picture; from there it moves in on a place that the seed chooses."""
    base = fitted(order.pictures[0], order.size, order.used.get("fit", "crop"))
    rng = random.Random(f"{order.seed}:{order.prompt}")  # noqa: S311 - a picture, not a secret
    target = (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9))
    begin, end = ((rng.uniform(0.15, 0.85), rng.uniform(0.2, 0.6)) for _ in range(2))
    colour = colour_of(f"seed {order.seed}")
    overlay, place = _overlay(order, colour)
    for index in range(order.frames):
        if order.is_flat:
            yield Image.new("RGB", order.size, FLAT)
            continue
        at = 0 if order.is_frozen else index
        share = at / max(1, order.frames - 1)
        frame = _moved(base, target, share)
        _disc(frame, colour, (begin[0] + (end[0] - begin[0]) * share, begin[1] + (end[1] - begin[1]) * share))
        frame.paste(overlay, place, overlay)
        _count(frame, at + 1, order.frames, colour)
        yield frame


def edit(order: FilmOrder) -> Image.Image:
    """The first picture in a tint of its own, the others small in a corner, the instruction written on it."""
    if order.is_flat:
        return Image.new("RGB", order.size, FLAT)
    picture = fitted(order.pictures[0], order.size, "crop")
    told = {name: value for name, value in order.used.items() if name not in ("seed", "loras")}
    tint = colour_of(f"{order.seed}:{order.prompt}:{sorted(told.items())}")
    picture = Image.blend(picture, Image.new("RGB", order.size, tint), 0.3)
    rng = random.Random(f"{order.seed}")  # noqa: S311 - a picture, not a secret
    for _ in range(3):
        _disc(
            picture,
            colour_of(f"{order.seed}:{rng.random()}"),
            (rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.6)),
        )
    _insets(picture, order.pictures[1:])
    overlay, place = _overlay(order, tint)
    picture.paste(overlay, place, overlay)
    if min(order.size) >= SMALLEST_CAPTION_PX:
        badge(picture, "edit" + (f"  ·  {len(order.pictures)} pictures" if len(order.pictures) > 1 else ""))
    return picture


def fitted(picture: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """The middle of the picture in this size (crop), or all of it on black (pad)."""
    width, height = size
    shares = (width / picture.width, height / picture.height)
    scale = min(shares) if fit == "pad" else max(shares)
    whole = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    scaled = picture.resize(whole, Image.Resampling.BICUBIC, reducing_gap=2.0)
    ground = Image.new("RGB", size)
    ground.paste(scaled, ((width - whole[0]) // 2, (height - whole[1]) // 2))
    return ground


def _moved(base: Image.Image, target: tuple[float, float], share: float) -> Image.Image:
    width, height = base.size
    cut = ZOOM * share
    left, top = target[0] * cut * width, target[1] * cut * height
    box = (left, top, left + width * (1 - cut), top + height * (1 - cut))
    return base.resize(base.size, Image.Resampling.BILINEAR, box=box)


def _disc(frame: Image.Image, colour: Colour, place: tuple[float, float]) -> None:
    """A disc of the seed's own colour: it shows in a few pixels, too."""
    x, y = place[0] * frame.width, place[1] * frame.height
    radius = max(4.0, min(frame.size) / 18)
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(frame).ellipse(box, fill=colour, outline=(255, 255, 255), width=max(1, int(radius / 6)))


def _insets(picture: Image.Image, others: tuple[Image.Image, ...]) -> None:
    width, height = picture.size
    side = max(8, min(width, height) // 5)
    for index, other in enumerate(others):
        small = fitted(other, (side, side), "crop")
        picture.paste(small, (width - (side + 4) * (index + 1), 4))


# --- words ------------------------------------------------------------------------------------------------


def _overlay(order: FilmOrder, colour: Colour) -> tuple[Image.Image, tuple[int, int]]:
    """The panel with its words, half transparent, and where it goes. It is drawn once for all frames."""
    if min(order.size) < SMALLEST_CAPTION_PX:
        return _small_panel(order, colour)
    width, height = order.size
    size = max(10, min(width, height) // 26)
    margin = size
    lines = _lines(order.prompt or "(no prompt)", size, width - 2 * margin, most=2)
    small = _lines(facts(order), max(9, size * 4 // 5), width - 2 * margin, most=2)
    step = int(size * 1.3)
    panel = Image.new("RGBA", (width, step * (len(lines) + len(small)) + size), DARK)
    draw = ImageDraw.Draw(panel)
    draw.rectangle((0, 0, max(3, size // 4), panel.height), fill=(*colour, 255))
    top = size // 3
    for line in lines:
        draw.text((margin, top), line, font=_font(size), fill=WHITE)
        top += step
    for line in small:
        draw.text((margin, top), line, font=_font(max(9, size * 4 // 5)), fill=PALE)
        top += step
    return panel, (0, height - panel.height - _bar_px(order.size))


def _small_panel(order: FilmOrder, colour: Colour) -> tuple[Image.Image, tuple[int, int]]:
    """Seed, size and steps, one below the other, in the largest letters that fit."""
    width, height = order.size
    lines = [f"seed {order.seed}", f"{order.width}x{order.height}", f"{order.used['steps']} steps"]
    if order.seed > 999_999:
        lines[0] = str(order.seed)
    size = next((one for one in SMALL_FONTS if all(_wide(line, one) <= width - 5 for line in lines)), 7)
    panel = Image.new("RGBA", (width, (size + 1) * len(lines) + 2), DARK)
    draw = ImageDraw.Draw(panel)
    draw.rectangle((0, 0, 1, panel.height), fill=(*colour, 255))
    for index, line in enumerate(lines):
        draw.text((4, index * (size + 1)), line, font=_font(size), fill=WHITE)
    return panel, (0, height - panel.height - _bar_px(order.size))


def _count(frame: Image.Image, number: int, of: int, colour: Colour) -> None:
    """Which frame it is, in words and as a bar along the lower edge."""
    width, height = frame.size
    draw = ImageDraw.Draw(frame)
    bar = _bar_px(frame.size)
    draw.rectangle((0, height - bar, width, height), fill=(10, 12, 20))
    draw.rectangle((0, height - bar, round(width * number / of), height), fill=colour)
    if min(frame.size) >= SMALLEST_CAPTION_PX:
        badge(frame, f"frame {number} of {of}")
        return
    words = f"{number}/{of}"
    draw.rectangle((0, 0, _wide(words, 10) + 4, 11), fill=(10, 12, 20))
    draw.text((2, 0), words, font=_font(10), fill=(255, 255, 255))


def facts(order: FilmOrder) -> str:
    """What it was made with, in one line."""
    used = order.used
    parts = [f"seed {order.seed}", f"{order.width}x{order.height}", f"{used['steps']} steps"]
    parts += [f"CFG {used['cfg_scale']:g}"]
    if order.kind == "i2v":
        parts += [f"{order.frames} frames", f"{order.fps} fps"]
        parts += [f"shift {used['sigma_shift']:g}", f"boundary {used['boundary']:g}"]
    else:
        parts += [str(used["scheduler"])]
    return "  ·  ".join([*parts, str(used["model"])])


def _bar_px(size: tuple[int, int]) -> int:
    return max(2, min(size) // 80)


def _lines(text: str, size: int, width: float, *, most: int) -> list[str]:
    """The text in at most so many lines; what does not fit ends in an ellipsis."""
    lines = [""]
    for word in text[:600].split():
        wider = f"{lines[-1]} {word}".strip()
        if _wide(wider, size) <= width or not lines[-1]:
            lines[-1] = wider
        else:
            lines.append(word)
    shown = lines[:most]
    if len(lines) > most:
        shown[-1] += " …"
    return [_shortened(line, size, width) for line in shown]


def _shortened(line: str, size: int, width: float) -> str:
    while _wide(line, size) > width and len(line) > 2:
        line = line[: max(1, min(len(line) - 3, int(len(line) * width / _wide(line, size)) - 2))] + " …"
    return line


def _wide(text: str, size: int) -> float:
    return _font(size).getlength(text)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # pragma: no cover
        raise RuntimeError("Pillow was built without FreeType: the simulator cannot write on its films")
    return font
