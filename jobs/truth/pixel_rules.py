"""What must be true of the pixels of every picture and film, whatever was asked for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jobs.truth.look import Look
from jobs.truth.outcomes import (
    CHANGED,
    CONTENT,
    DISTINCT,
    ENLARGED,
    FRAMES,
    MOTION,
    PICTURES,
    RATE,
    SIZE,
    WHOLE,
    FieldOutcome,
    FieldVerdict,
)
from webui.work.limits import LIMITS
from webui.work.testimony import Witness
from webui.work.unit import Request

ROUNDING_PX: Final = 64
"""Models draw in steps of up to so many pixels, and a server rounds what lies between."""
DRAWING_STEP_PX: Final = 8
RATE_TOLERANCE: Final = 0.01
"""Frames per second: a rate is kept as a fraction."""
TINY_PIXELS: Final = 32 * 32
"""Two pictures of so few pixels may honestly be the same."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that the server gave before. Equal `wish`: the same was asked for, so that equal pixels are right."""

    fingerprint: str
    wish: str
    whose: str
    """For people: "job 12"."""


def of_pixels(
    request: Request,
    place: int,
    looks: Sequence[Look],
    *,
    source: Look | None,
    before: Sequence[Seen],
    wish: str,
    unchanged: bool | None = None,
) -> list[FieldOutcome]:
    """Everything that is known of the picture at this place of its answer without asking what was used.

    `unchanged`: an edit looks as the picture that it was made from (`likeness`); None where nobody looked.
    """
    look = looks[place]
    return [
        _pictures(request, len(looks)),
        _whole(look, "film" if request.frames else "picture"),
        _content(look, source),
        *_size(request, look, source),
        *_film(request, look),
        *_changed(request, look, source),
        *_edited(unchanged, source),
        *_distinct(place, looks, _comparable(request, looks[place], source, before, wish)),
    ]


def _pictures(request: Request, count: int) -> FieldOutcome:
    outcome = FieldVerdict.VERIFIED if count == request.pictures else FieldVerdict.DRIFT
    return FieldOutcome(PICTURES, outcome, str(request.pictures), str(count), Witness.ANSWER)


def is_made_of_inputs(request: Request) -> bool:
    """Films and edits: their sizes were snapped before they were asked for, and each has a seed of its own."""
    return request.stage in LIMITS


def _whole(look: Look, what: str) -> FieldOutcome:
    asked = f"a whole {what}"
    if not look.whole:
        return FieldOutcome(WHOLE, FieldVerdict.DRIFT, asked, look.problem, Witness.PIXELS)
    if not look.seen:
        return FieldOutcome(WHOLE, FieldVerdict.NOT_TOLD, asked, why=look.problem)
    return FieldOutcome(WHOLE, FieldVerdict.VERIFIED, asked, asked, Witness.PIXELS)


def _content(look: Look, source: Look | None) -> FieldOutcome:
    """Of what a flat picture becomes, nothing but a flat picture is asked."""
    asked = "something on it"
    if not look.whole or not look.seen:
        return FieldOutcome(CONTENT, FieldVerdict.NOT_TOLD, asked, why=look.problem)
    found = "black" if look.black else "one colour" if look.flat else ""
    if not found:
        return FieldOutcome(CONTENT, FieldVerdict.VERIFIED, asked, asked, Witness.PIXELS)
    if source is not None and (source.flat or source.black):
        return FieldOutcome(
            CONTENT, FieldVerdict.VERIFIED, asked, found, Witness.PIXELS, "as the picture it was made from"
        )
    return FieldOutcome(CONTENT, FieldVerdict.DRIFT, asked, found, Witness.PIXELS)


def _size(request: Request, look: Look, source: Look | None) -> list[FieldOutcome]:
    if not look.width_px:
        return []
    rows = []
    used = f"{look.width_px}x{look.height_px}"
    if request.size_px is not None:
        width, height = request.size_px
        exact = look.size_px == request.size_px
        rounded = not is_made_of_inputs(request) and all(map(_rounded, request.size_px, look.size_px))
        right = exact or rounded
        why = "" if exact or not right else "rounded by the server"
        rows.append(
            FieldOutcome(
                SIZE,
                FieldVerdict.VERIFIED if right else FieldVerdict.DRIFT,
                f"{width}x{height}",
                used,
                Witness.PIXELS,
                why,
            )
        )
    if request.enlarges != 1 and source is not None and source.width_px:
        grown = look.size_px != source.size_px
        small = abs(request.enlarges - 1) * min(source.size_px) < DRAWING_STEP_PX
        rows.append(
            FieldOutcome(
                ENLARGED,
                FieldVerdict.VERIFIED if grown or small else FieldVerdict.DRIFT,
                f"x{request.enlarges:g}",
                f"x{look.width_px / source.width_px:.3g}",
                Witness.PIXELS,
            )
        )
    return rows


def _film(request: Request, look: Look) -> list[FieldOutcome]:
    film = look.film
    if film is None:
        return []
    same_rate = abs(film.fps - request.fps) <= RATE_TOLERANCE
    rows = [
        _exactly(FRAMES, film.frames == request.frames, str(request.frames), str(film.frames)),
        _exactly(RATE, same_rate, f"{request.fps:g} fps", f"{film.fps:g} fps"),
    ]
    if not film.flat:
        # What a film of one colour lacks is told already.
        asked, still = "frames that differ", "the same frame from beginning to end"
        rows.append(_exactly(MOTION, not film.still, asked, still if film.still else asked))
    return rows


def _exactly(field: str, right: bool, asked: str, used: str) -> FieldOutcome:
    outcome = FieldVerdict.VERIFIED if right else FieldVerdict.DRIFT
    return FieldOutcome(field, outcome, asked, used, Witness.PIXELS)


def _rounded(asked: int, came: int) -> bool:
    """To a step in which models draw, where what was asked for lies between two."""
    for step in (DRAWING_STEP_PX, ROUNDING_PX):
        if asked % step and came % step == 0 and abs(came - asked) < step:
            return True
    return asked == came


def _changed(request: Request, look: Look, source: Look | None) -> list[FieldOutcome]:
    if (
        source is None
        or request.frames
        or request.changes is False
        or not look.fingerprint
        or not source.fingerprint
    ):
        return []
    asked = "another picture than its input"
    if look.fingerprint != source.fingerprint:
        return [FieldOutcome(CHANGED, FieldVerdict.VERIFIED, asked, asked, Witness.PIXELS)]
    used = "its input, unchanged"
    if request.changes is None:
        why = "no detector found anything, or none ran"
        return [FieldOutcome(CHANGED, FieldVerdict.NOT_TOLD, asked, used, Witness.PIXELS, why)]
    if source.flat or source.black:
        return [
            FieldOutcome(
                CHANGED, FieldVerdict.NOT_TOLD, asked, used, Witness.PIXELS, "its input has one colour"
            )
        ]
    return [FieldOutcome(CHANGED, FieldVerdict.DRIFT, asked, used, Witness.PIXELS)]


def _edited(unchanged: bool | None, source: Look | None) -> list[FieldOutcome]:
    """An instruction may ask for nothing that a person sees, so this never costs a job its picture."""
    if unchanged is None or (source is not None and source.flat):
        return []
    asked = "another picture than its input"
    return [_exactly(CHANGED, not unchanged, asked, "its input, unchanged" if unchanged else asked)]


def _comparable(
    request: Request, look: Look, source: Look | None, before: Sequence[Seen], wish: str
) -> Sequence[Seen]:
    """The earlier pictures that this one cannot be. What may come back as it went in (no detector found anything, an
    upscale by 1) is what it was made from, and what others got of that. Extras know no seed: equal pixels in two
    files, a PNG and a JPEG, become the same picture.
    """
    may_repeat = (request.changes is not True or not request.samples) and not is_made_of_inputs(request)
    if source is not None and (may_repeat or look.fingerprint == source.fingerprint):
        return ()
    return [seen for seen in before if seen.wish != wish]


def _distinct(place: int, looks: Sequence[Look], before: Sequence[Seen]) -> list[FieldOutcome]:
    """Pictures of one answer have seeds of their own. Nothing is said of a picture without anything on it."""
    look = looks[place]
    if not look.fingerprint or look.flat or look.black or look.width_px * look.height_px < TINY_PIXELS:
        return []
    asked = "a picture of its own"
    others = [
        (other.fingerprint, f"picture {number}")
        for number, other in enumerate(looks, start=1)
        if number != place + 1
    ]
    others += [(seen.fingerprint, seen.whose) for seen in before]
    if not others:
        return []
    same = next((whose for fingerprint, whose in others if fingerprint == look.fingerprint), "")
    if same:
        return [FieldOutcome(DISTINCT, FieldVerdict.DRIFT, asked, f"the pixels of {same}", Witness.PIXELS)]
    return [FieldOutcome(DISTINCT, FieldVerdict.VERIFIED, asked, asked, Witness.PIXELS)]
