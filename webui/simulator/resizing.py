"""How a picture is made larger: plainly, or as an upscaler with weights does it."""

from __future__ import annotations

from PIL import Image, ImageFilter

from webui.simulator.files import hash_of

PLAIN = {"Lanczos": Image.Resampling.LANCZOS, "Nearest": Image.Resampling.NEAREST}


def resized(image: Image.Image, size: tuple[int, int], upscaler: str) -> Image.Image:
    """`upscaler`: the one that does the work; each one with weights leaves edges of its own."""
    larger = image.resize(size, PLAIN.get(upscaler, Image.Resampling.LANCZOS))
    if upscaler in PLAIN:
        return larger
    digest = bytes.fromhex(hash_of("upscaler", upscaler))
    return larger.filter(ImageFilter.UnsharpMask(1 + digest[0] % 3, 60 + digest[1], 0))
