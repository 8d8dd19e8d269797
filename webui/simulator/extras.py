"""extra-single-image and extra-batch-images: the given picture, resized, with a label that says how."""

from __future__ import annotations

from typing import Any

from PIL import Image

from webui.simulator import drawing
from webui.simulator.answers import EscapedError
from webui.simulator.catalog import SimulatedCatalog
from webui.simulator.pictures import check_memory, encoded, text_of


def html_info(notes: dict[str, str]) -> str:
    return f"<p>{_joined(notes)}</p>"


def processed(
    image: Image.Image, fields: dict[str, Any], catalog: SimulatedCatalog
) -> tuple[str, dict[str, str]]:
    """The resized picture as base64, and the notes about it. Raises EscapedError for an unknown upscaler.

    Upscaler `None` leaves the picture as it is, whatever size was asked for.
    """
    text = text_of(image)
    upscaler = fields["upscaler_1"]
    notes: dict[str, str] = {}
    if upscaler and upscaler != "None":
        _check_known(upscaler, catalog)
        second = fields["upscaler_2"]
        if second and second != "None" and fields["extras_upscaler_2_visibility"]:
            _check_known(second, catalog)
            notes["Postprocess upscaler 2"] = second
        image, how = _resized(image.convert("RGB"), fields, upscaler)
        notes = how | {"Postprocess upscaler": upscaler} | notes
        drawing.badge(image, f"upscale  ·  {image.width}x{image.height}  ·  {upscaler}")
    return encoded(image, {**text, "postprocessing": _joined(notes)}), notes


def _check_known(name: str, catalog: SimulatedCatalog) -> None:
    if not catalog.has_upscaler(name):
        raise EscapedError("AssertionError", f"could not find upscaler named {name}")


def _resized(image: Image.Image, fields: dict[str, Any], upscaler: str) -> tuple[Image.Image, dict[str, str]]:
    method = Image.Resampling.NEAREST if upscaler == "Nearest" else Image.Resampling.LANCZOS
    if fields["resize_mode"] == 0:
        factor = float(fields["upscaling_resize"])
        return _scaled(image, factor, method), {"Postprocess upscale by": str(factor)}
    width, height = fields["upscaling_resize_w"], fields["upscaling_resize_h"]
    image = _scaled(image, max(width / image.width, height / image.height), method)
    notes = {"Postprocess upscale to": f"{width}x{height}"}
    if fields["upscaling_crop"]:
        check_memory(width, height)
        cropped = Image.new("RGB", (width, height))
        cropped.paste(image, (width // 2 - image.width // 2, height // 2 - image.height // 2))
        image = cropped
        notes["Postprocess crop to"] = f"{width}x{height}"
    return image, notes


def _scaled(image: Image.Image, factor: float, method: Image.Resampling) -> Image.Image:
    width, height = (max(8, int(side * factor // 8 * 8)) for side in image.size)
    check_memory(width, height)
    return image.resize((width, height), method)


def _joined(notes: dict[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in notes.items())
