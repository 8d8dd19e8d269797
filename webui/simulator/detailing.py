"""ADetailer's passes over a finished picture: places found by the name of the detector, drawn anew, labelled.

Which places: a detector's name and the seed decide. A real one looks at the picture; here every picture
has a face, two hands and a person.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from webui.simulator import adetailer, drawing
from webui.simulator.catalog import SimulatedCatalog, plain_words
from webui.simulator.log import complain, say
from webui.simulator.sampling import Sampler, img2img_steps
from webui.simulator.state import State

Box = tuple[int, int, int, int]
Place = tuple[float, float, float, float]
CERTAINTY = 0.8
"""How sure every detector is of what it finds; a higher `ad_confidence` finds nothing."""


@dataclass(frozen=True)
class Subject:
    """What the main pass drew with; the extension inherits what its own settings leave out."""

    prompt: str
    negative: str
    seed: int
    steps: int
    details: str
    """All else that shows in a picture: checkpoint, sampler, VAE."""


@dataclass
class Detailer:
    """The passes of one generation, over each of its pictures."""

    request: adetailer.DetailerRequest
    sampler: Sampler
    state: State
    catalog: SimulatedCatalog

    def improve(self, picture: Image.Image, subject: Subject) -> Image.Image:
        """The picture with each finding drawn anew. Each finding is a job in progress, with its own steps."""
        picture = picture.convert("RGB")
        for tab in self.request.tabs:
            if tab.is_on and self._is_installed(tab):
                picture = self._one_tab(picture, tab, subject)
        return picture

    def _is_installed(self, tab: adetailer.Tab) -> bool:
        if self.catalog.has_detector(tab.model):
            return True
        complain(
            f"*** Error running postprocess_image: [-] ADetailer: Model {tab.model!r} not found. "
            f"Available models: {list(self.catalog.detectors)}"
        )
        return False

    def _one_tab(self, picture: Image.Image, tab: adetailer.Tab, subject: Subject) -> Image.Image:
        if self.state.interrupted or self.state.skipped:
            return picture
        boxes = found(tab, picture.size, subject.seed)
        if not boxes:
            say(f"[-] ADetailer: nothing detected on image 1 with tab {tab.number + 1}.")
            return picture
        self.state.job_count += len(boxes)
        prompts = tab.prompts("ad_prompt", subject.prompt)
        negatives = tab.prompts("ad_negative_prompt", subject.negative)
        for index, box in enumerate(boxes):
            prompt = prompts[min(index, len(prompts) - 1)]
            if re.fullmatch(r"\s*\[SKIP\]\s*", prompt):
                continue
            share = self.sampler.run(_steps(tab.settings, subject.steps))
            words = f"{prompt}:{negatives[min(index, len(negatives) - 1)]}"
            if share:
                _redraw(picture, box, tab, prompt, f"{subject.seed + index}:{words}", subject.details)
            self.state.next_job()
        return picture


def found(tab: adetailer.Tab, size: tuple[int, int], seed: int) -> list[Box]:
    """The places that this tab's detector finds, of the right size and at most `ad_mask_k` of them."""
    settings = tab.settings
    if settings["ad_confidence"] > CERTAINTY:
        return []
    kind = next((kind for kind in _PLACES if kind in tab.model), "person")
    rng = random.Random(f"{tab.model}:{seed}")  # noqa: S311 - a picture, not a secret
    boxes = [_box(place, size, rng, settings) for place in _PLACES[kind]]
    least, most = settings["ad_mask_min_ratio"], settings["ad_mask_max_ratio"]
    fitting = [box for box in boxes if least <= _area(box) / (size[0] * size[1]) <= most]
    return fitting[: settings["ad_mask_k"] or None]


def _box(place: Place, size: tuple[int, int], rng: random.Random, settings: dict[str, Any]) -> Box:
    across, down, wide, high = place
    width, height = size
    left = (across + rng.uniform(-0.04, 0.04)) * width + settings["ad_x_offset"]
    top = (down + rng.uniform(-0.02, 0.02)) * height - settings["ad_y_offset"]
    grown = settings["ad_dilate_erode"]
    return (
        max(0, int(left) - grown),
        max(0, int(top) - grown),
        min(width, int(left + wide * min(size)) + grown),
        min(height, int(top + high * min(size)) + grown),
    )


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


_PLACES: dict[str, list[Place]] = {
    "face": [(0.42, 0.2, 0.2, 0.24)],
    "hand": [(0.14, 0.5, 0.15, 0.13), (0.7, 0.5, 0.15, 0.13)],
    "person": [(0.36, 0.16, 0.3, 0.52)],
}
"""Left and top as a share of the picture, width and height as a share of its shorter side."""


def _steps(settings: dict[str, Any], inherited: int) -> int:
    steps: int = settings["ad_steps"] if settings["ad_use_steps"] else inherited
    return img2img_steps(steps, settings["ad_denoising_strength"])


def _redraw(
    picture: Image.Image, box: Box, tab: adetailer.Tab, prompt: str, shape: str, inherited: str
) -> None:
    left, top, right, bottom = box
    size = (right - left, bottom - top)
    if min(size) < 2:
        return
    before = picture.crop(box)
    own = {name: value for name, value in tab.settings.items() if "prompt" not in name}
    detail = drawing.landscape(shape, plain_words(prompt), *size, f"{inherited}:{own}")
    after = Image.blend(before, detail, max(0.0, min(1.0, tab.settings["ad_denoising_strength"])))
    mask = Image.new("L", size, 0)
    edge = max(1, min(size) // 8)
    ImageDraw.Draw(mask).rounded_rectangle((edge, edge, size[0] - edge, size[1] - edge), edge * 2, fill=255)
    picture.paste(after, box, mask.filter(ImageFilter.GaussianBlur(max(1, tab.settings["ad_mask_blur"]))))
    drawing.mark(picture, box, f"{adetailer.TITLE} {tab.model}")
