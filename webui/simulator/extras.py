"""extra-single-image and extra-batch-images: the given picture, enlarged and with its faces restored.

Upscalers with weights leave a label; what is resized plainly is that to the pixel, as on the real server.
The notes tell what was asked for: a listed upscaler without weights, or a face restorer without its model, is named
like one that did its work. So does the real server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw

from webui.simulator import drawing
from webui.simulator.answers import EscapedError
from webui.simulator.catalog import SimulatedCatalog
from webui.simulator.generation import Inputs, Studio
from webui.simulator.lying import Lie, Tells, changed
from webui.simulator.pictures import FileFormat, check_memory, encoded, text_of
from webui.simulator.resizing import PLAIN, resized

Notes = dict[str, Any]


def html_info(notes: Notes) -> str:
    return f"<p>{_joined(notes)}</p>"


def processed(
    image: Image.Image, fields: dict[str, Any], studio: Studio, lies: Sequence[Lie] = ()
) -> tuple[str, Notes]:
    """The finished picture as base64, and the notes about it. Raises EscapedError for an unknown upscaler.

    Upscaler `None` leaves the picture as it is, whatever size was asked for.
    """
    text = text_of(image)
    asked = Inputs("extras", fields, (image,))
    used, used_studio = changed(lies, asked, studio)
    picture, notes = _worked_on(used.inits[0], used.fields, used_studio.catalog)
    if any(lie.tells is not Tells.USED for lie in lies):
        _, notes = _worked_on(image, fields, studio.catalog)
    kind = FileFormat.of(studio.options.values)
    return encoded(picture, {**text, "postprocessing": _joined(notes)}, kind), notes


def _worked_on(
    image: Image.Image, fields: dict[str, Any], catalog: SimulatedCatalog
) -> tuple[Image.Image, Notes]:
    upscaler = fields["upscaler_1"]
    notes: Notes = {}
    if upscaler and upscaler != "None":
        _check_known(upscaler, catalog)
        second = fields["upscaler_2"]
        if second and second != "None" and fields["extras_upscaler_2_visibility"]:
            _check_known(second, catalog)
            notes["Postprocess upscaler 2"] = second
        used = catalog.upscaler_used(upscaler)
        image, how = _resized(image.convert("RGB"), fields, used)
        notes = how | {"Postprocess upscaler": upscaler} | notes
        if used not in PLAIN:
            drawing.badge(image, f"upscale  ·  {image.width}x{image.height}  ·  {used}")
    return _restored(image, fields, catalog, notes)


def _restored(
    image: Image.Image, fields: dict[str, Any], catalog: SimulatedCatalog, notes: Notes
) -> tuple[Image.Image, Notes]:
    """Faces restored where the model is here; without it the picture stays, and the notes say the same."""
    for name in ("GFPGAN", "CodeFormer"):
        visibility = fields[f"{name.lower()}_visibility"]
        if not visibility:
            continue
        notes = notes | {f"{name} visibility": round(visibility, 3)}
        weight = fields["codeformer_weight"] if name == "CodeFormer" else 0
        notes |= {"CodeFormer weight": round(weight, 3)} if name == "CodeFormer" else {}
        if catalog.has_face_restorer(name):
            image = _face(image, f"{name}:{weight}", visibility)
    return image, notes


def _face(image: Image.Image, words: str, visibility: float) -> Image.Image:
    """Every picture has a face in the middle of its upper half."""
    before = image.convert("RGB")
    width, height = before.size
    box = (width * 2 // 5, height // 5, width * 3 // 5, height * 2 // 5)
    after = before.copy()
    ImageDraw.Draw(after).ellipse(box, fill=drawing.colour_of(words))
    return Image.blend(before, after, min(1.0, visibility))


def _check_known(name: str, catalog: SimulatedCatalog) -> None:
    if not catalog.has_upscaler(name):
        raise EscapedError("AssertionError", f"could not find upscaler named {name}")


def _resized(image: Image.Image, fields: dict[str, Any], upscaler: str) -> tuple[Image.Image, Notes]:
    if fields["resize_mode"] == 0:
        factor = float(fields["upscaling_resize"])
        return _scaled(image, factor, upscaler), {"Postprocess upscale by": str(factor)}
    width, height = fields["upscaling_resize_w"], fields["upscaling_resize_h"]
    image = _scaled(image, max(width / image.width, height / image.height), upscaler)
    notes = {"Postprocess upscale to": f"{width}x{height}"}
    if fields["upscaling_crop"]:
        check_memory(width, height)
        cropped = Image.new("RGB", (width, height))
        cropped.paste(image, (width // 2 - image.width // 2, height // 2 - image.height // 2))
        image = cropped
        notes["Postprocess crop to"] = f"{width}x{height}"
    return image, notes


def _scaled(image: Image.Image, factor: float, upscaler: str) -> Image.Image:
    width, height = (max(8, int(side * factor // 8 * 8)) for side in image.size)
    check_memory(width, height)
    return resized(image, (width, height), upscaler)


def _joined(notes: Notes) -> str:
    return ", ".join(f"{name}: {value}" for name, value in notes.items())
