"""Pictures fitted to a size, flattened, and put together on a grid, as the server does it."""

from __future__ import annotations

import math

from PIL import Image, ImageOps

from webui.simulator.resizing import resized


def flat(image: Image.Image) -> Image.Image:
    """RGB on white, as the server flattens transparency."""
    if image.mode in ("RGBA", "LA", "P"):
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def fitted(
    image: Image.Image, size: tuple[int, int], resize_mode: int, upscaler: str = "Lanczos"
) -> Image.Image:
    """0 stretches, 1 crops, 2 fills; an unknown mode fills too, as on the server. `upscaler` makes it large enough."""
    factor = max(size[0] / image.width, size[1] / image.height)
    if factor > 1 and upscaler != "Lanczos":
        image = resized(image, (round(image.width * factor), round(image.height * factor)), upscaler)
    if resize_mode in (0, 3):
        return image.resize(size, Image.Resampling.LANCZOS)
    if resize_mode == 1:
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    average = image.resize((1, 1), Image.Resampling.BOX).convert("RGB").tobytes()
    return ImageOps.pad(image, size, Image.Resampling.LANCZOS, color=(average[0], average[1], average[2]))


def grid(images: list[Image.Image]) -> Image.Image:
    rows = max(1, round(math.sqrt(len(images))))
    columns = math.ceil(len(images) / rows)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, image in enumerate(images):
        sheet.paste(image, (index % columns * width, index // columns * height))
    return sheet
