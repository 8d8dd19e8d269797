"""What is said of every setting that a job fixed: by the answer (`used`), and by an edit's own text. Pure.

A worker tells every parameter as it was truly used, after snapping and defaults, so it proves; a film has no text that
is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from webui.work.catalog import Catalog, Need, Thing
from webui.work.limits import AUTO
from webui.work.testimony import Saying, Testimony, Witness
from webui.work.told import PictureFacts
from webui.work.unit import Request

FIELDS: Final = {
    "num_frames": "Frames",
    "fps": "Frames per second",
    "steps": "Steps",
    "cfg_scale": "CFG scale",
    "seed": "Seed",
    "boundary": "Boundary",
    "sigma_shift": "Sigma shift",
    "scheduler": "Scheduler",
    "fit": "Fit",
}
"""Key of a request and of `used` -> words for people."""
SIZE, MODEL = "Drawn size", "Model"
"""The size that the model was asked for; that of the pixels is judged by the pixels."""
_JUDGED: Final = frozenset({*FIELDS, "width", "height"})


def testimony_of(
    request: Request, place: int, *, told: PictureFacts, own: PictureFacts, catalog: Catalog | None
) -> tuple[Testimony, ...]:
    """See `webui.driver.Driver.testimony`."""
    return tuple(_settings(request, _witnesses(told, own)))


def told_besides(request: Request, facts: PictureFacts) -> tuple[tuple[str, str], ...]:
    """See `webui.driver.Driver.told_besides`."""
    judged = _JUDGED | ({"model"} if request.body["model"] else frozenset())
    return tuple((name, value) for name, value in facts.info.items() if value and name not in judged)


_Told = tuple[Witness, Mapping[str, str]]


def _witnesses(told: PictureFacts, own: PictureFacts) -> tuple[_Told, ...]:
    both = ((Witness.INFO, told.info), (Witness.PICTURE_TEXT, own.info))
    return tuple((witness, info) for witness, info in both if info)


def _settings(request: Request, told: tuple[_Told, ...]) -> Iterator[Testimony]:
    body = request.body
    width, height = body["width"], body["height"]
    if AUTO not in (width, height):
        asked = f"{width}x{height}"
        sizes = [
            (who, f"{used['width']}x{used['height']}")
            for who, used in told
            if used.get("width") and used.get("height")
        ]
        yield Testimony(SIZE, asked, tuple(Saying(who, used, used == asked) for who, used in sizes))
    for key, words in FIELDS.items():
        if key in body:
            yield Testimony(words, str(body[key]), tuple(_sayings(told, key, str(body[key]))))
    if model := body["model"]:
        need = Need(Thing.CHECKPOINT, model)
        yield Testimony(MODEL, model, tuple(_sayings(told, "model", model)), need)


def _sayings(told: tuple[_Told, ...], key: str, asked: str) -> Iterator[Saying]:
    for who, info in told:
        if used := info.get(key, ""):
            yield Saying(who, used, _same(asked, used))


def _same(asked: str, used: str) -> bool:
    try:
        # Seeds are longer than what a float can tell apart.
        return int(asked) == int(used)
    except ValueError:
        pass
    try:
        return abs(float(asked) - float(used)) < 1e-6
    except ValueError:
        return asked == used
