"""Pictures with something on them, for servers of the tests: one of one colour is no result."""

from __future__ import annotations

from PIL import Image


def sketch(size: tuple[int, int], shade: int, *, other: int = 0) -> Image.Image:
    """A gradient; another shade, or another second one, is another picture."""
    down = Image.linear_gradient("L").resize(size)
    across = Image.linear_gradient("L").rotate(90).resize(size)
    return Image.merge("RGB", (down, across, Image.new("L", size, (shade * 16 + other) % 256)))
