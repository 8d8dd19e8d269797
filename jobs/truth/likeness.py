"""Whether an edit looks as the picture that it was made from. Pillow only, in bounds.

No edit comes back to the pixel: its input is resized, and goes through a model's encoder and decoder. So both are
compared small, where that leaves nothing and a change that a person sees still shows.
"""

from __future__ import annotations

from typing import Final

from PIL import Image, ImageChops, ImageOps

from webui.work.pictures import BROKEN, open_picture

EDGE_PX: Final = 64
"""Of the longer side of what is compared: a block of 16 x 16 pixels of a picture of a megapixel."""
SAME_LEVELS: Final = 6
"""Of 255, the largest difference of any block and colour of pictures that look the same.

Measured on photos, drawings and noise of a megapixel: 0 to 8 after a resize to 90 %, JPEG at quality 30, a blur by one
pixel or a brightness of 2 % more; at least 9 where a small word was written, 14 where everything is 10 % brighter, 33
where 8 x 8 pixels have another colour. What is said of a picture is marked on it, so the doubt is the picture's.
"""
MOST_PIXELS: Final = 64_000_000


def is_unchanged(source: bytes, content: bytes) -> bool | None:
    """Whether nothing was done to `source` that a person sees; None where that cannot be told."""
    try:
        with open_picture(content) as result, open_picture(source) as given:
            if max(result.width * result.height, given.width * given.height) > MOST_PIXELS:
                return None
            scale = EDGE_PX / max(result.size)
            size = max(1, round(result.width * scale)), max(1, round(result.height * scale))
            after = _plain(result).resize(size, Image.Resampling.BOX)
            plain = _plain(given)
            before = plain.resize(size, Image.Resampling.BOX, box=_middle(plain.size, result.size))
    except BROKEN:
        return None
    channels = ImageChops.difference(before, after).split()
    return max(float(channel.getextrema()[1]) for channel in channels) <= SAME_LEVELS  # type: ignore[arg-type]


def _middle(size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box of this shape around the middle: what is left of an input that is cropped."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    left, top = (size[0] - shape[0] * scale) / 2, (size[1] - shape[1] * scale) / 2
    return left, top, size[0] - left, size[1] - top


def _plain(picture: Image.Image) -> Image.Image:
    """Turned as a person sees it, and without alpha."""
    turned = ImageOps.exif_transpose(picture)
    if turned.has_transparency_data:
        turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned.convert("RGBA"))
    return turned.convert("RGB")
