"""Whether pictures are what was asked for. Pure: no clock, no database, no file.

    came = [came_of(driver, request, content, told) for content, told in ...]
    judge(driver, request, came, catalog=..., source=...) -> one Judgement for each picture

A setting is verified where a witness says that it was used, drifted where one says that something else was, and not
told otherwise: that a request asked for it proves nothing. What witnesses there are stands in `docs/truth.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from jobs.truth.likeness import is_unchanged
from jobs.truth.look import Look, is_plain_resize, look_at, look_at_film
from jobs.truth.outcomes import CHECKPOINT, PLAIN_RESIZE, FieldOutcome, FieldVerdict, Judgement
from jobs.truth.pixel_rules import Seen, is_made_of_inputs, of_pixels
from webui.driver import Driver
from webui.work.catalog import Catalog, Found, Has, Thing
from webui.work.testimony import Saying, Testimony, Witness
from webui.work.told import PictureFacts
from webui.work.unit import Request

RULES: Final = 1
"""Counted up when what these rules say of the same result changes."""


@dataclass(frozen=True, slots=True)
class Came:
    """One picture of an answer: what its pixels say, what the answer says of it, and what it says of itself.

    `plain_resize`: its input, enlarged without a model (`look.is_plain_resize`). `unchanged`: an edit that looks as its
    input (`likeness.is_unchanged`). `kept` are sayings of the answer that
    an earlier judgement has kept, by field: a stored picture's answer is gone.
    """

    look: Look
    told: PictureFacts = field(default_factory=PictureFacts)
    own: PictureFacts = field(default_factory=PictureFacts)
    plain_resize: bool | None = None
    kept: Mapping[str, tuple[Saying, ...]] = field(default_factory=dict)
    unchanged: bool | None = None


def came_of(driver: Driver, request: Request, content: bytes, told: PictureFacts) -> Came:
    """Looks at one picture of an answer, or at every frame of a film."""
    own = driver.picture_facts(content)
    if request.frames:
        look = look_at_film(content)
        if look.film is not None:
            own = own.completed_by(PictureFacts(look.film.comment))
        return Came(look, told, own)
    plain = unchanged = None
    if request.source is not None and not request.samples and request.enlarges > 1:
        plain = is_plain_resize(request.source, content)
    if request.source is not None and is_made_of_inputs(request):
        unchanged = is_unchanged(request.source, content)
    return Came(look_at(content), told, own, plain, unchanged=unchanged)


def look_at_source(request: Request) -> Look | None:
    """What is seen of the picture that a request is made from."""
    return None if request.source is None else look_at(request.source)


def judge(
    driver: Driver,
    request: Request,
    came: Sequence[Came],
    *,
    catalog: Catalog | None = None,
    source: Look | None = None,
    before: Sequence[Seen] = (),
    wishes: Sequence[str] = (),
) -> tuple[Judgement, ...]:
    """One judgement for each picture of the answer to `request`, in order.

    `catalog` is what the server is known to have (None: nobody knows), `source` the picture that the request was made
    from, `before` what this server gave lately, `wishes` what each picture was to be in the sense of `Seen`.
    """
    return tuple(
        _judgement(
            driver,
            request,
            place,
            came,
            catalog=catalog,
            source=source,
            before=before,
            wish=_at(wishes, place),
        )
        for place in range(len(came))
    )


def _at(wishes: Sequence[str], place: int) -> str:
    return wishes[place] if place < len(wishes) else ""


def _judgement(
    driver: Driver,
    request: Request,
    place: int,
    came: Sequence[Came],
    *,
    catalog: Catalog | None,
    source: Look | None,
    before: Sequence[Seen],
    wish: str,
) -> Judgement:
    one = came[place]
    looks = [one.look for one in came]
    fields = of_pixels(
        request, place, looks, source=source, before=before, wish=wish, unchanged=one.unchanged
    )
    settings, contradicts = judge_settings(driver, request, place, one, catalog)
    fields += settings
    return Judgement(tuple(fields), contradicts or _of_checkpoint(fields, catalog))


# --- settings --------------------------------------------------------------------------------------


def judge_settings(
    driver: Driver, request: Request, place: int, came: Came, catalog: Catalog | None
) -> tuple[list[FieldOutcome], str]:
    """The part of a judgement for which no pixels are needed, and what contradicts the server's lists."""
    fields, contradicts = [], ""
    for claim in driver.testimony(request, place, told=came.told, own=came.own, catalog=catalog):
        full = replace(claim, sayings=(*claim.sayings, *_kept(claim, came)))
        found = _found(driver, catalog, full)
        fields.append(_outcome(full, found, came))
        if found is not None and found.has is Has.NO and fields[-1].outcome is FieldVerdict.VERIFIED:
            contradicts = f"it used {fields[-1].used}, which its lists do not have"
    return fields, contradicts


def _found(driver: Driver, catalog: Catalog | None, claim: Testimony) -> Found | None:
    return driver.find(catalog, claim.need) if catalog is not None and claim.need is not None else None


def _outcome(claim: Testimony, found: Found | None, came: Came) -> FieldOutcome:
    """Who contradicts decides; then who proves; then the lists."""

    def row(outcome: FieldVerdict, used: str = "", by: Witness | None = None, why: str = "") -> FieldOutcome:
        return FieldOutcome(claim.field, outcome, claim.asked, used, by, why, claim.sayings)

    if other := next((one for one in claim.sayings if not one.same), None):
        return row(FieldVerdict.DRIFT, other.used, other.witness)
    if proof := next((one for one in claim.sayings if one.proves), None):
        return row(FieldVerdict.VERIFIED, proof.used, proof.witness)
    if came.plain_resize and claim.plain is not None:
        outcome = FieldVerdict.VERIFIED if claim.plain else FieldVerdict.DRIFT
        return row(outcome, PLAIN_RESIZE, Witness.PIXELS, "a plain resize of its input, to the pixel")
    outcome, why = _by_lists(claim, found, came)
    if outcome is FieldVerdict.NOT_TOLD:
        return row(outcome, why=why)
    used = found.entry.name if found is not None and found.entry is not None else claim.asked
    return row(outcome, used if outcome is FieldVerdict.VERIFIED else UNKNOWN_USE, Witness.LISTS, why)


UNKNOWN_USE: Final = "nothing, or another"


def _by_lists(claim: Testimony, found: Found | None, came: Came) -> tuple[FieldVerdict, str]:
    """What the server's lists say of a thing of which nobody else speaks."""
    if claim.need is None:
        return FieldVerdict.NOT_TOLD, "nobody says what was used"
    if found is None or found.has is Has.UNKNOWN:
        return FieldVerdict.NOT_TOLD, "nobody says what was used, and whether the server has it is not known"
    if found.has is Has.NO:
        nearest = f"; nearest: {found.nearest}" if found.nearest else ""
        return FieldVerdict.DRIFT, found.why or f"the server has none of that name{nearest}"
    if found.entry is not None and not found.entry.usable:
        embedding = claim.need is not None and claim.need.thing is Thing.EMBEDDING
        why = found.why or found.entry.note or "the server lists it and cannot use it as it is"
        if embedding or (claim.plain is False and came.plain_resize is False):
            # Which embeddings fit depends on the checkpoint; and who resizes otherwise than plainly has some weights.
            return FieldVerdict.NOT_TOLD, why
        return FieldVerdict.DRIFT, why
    if found.why and found.entry is not None and not (claim.plain is False and came.plain_resize is False):
        # A doubt. Who resizes otherwise than plainly has the weights.
        return FieldVerdict.NOT_TOLD, found.why
    if claim.listed_proves:
        return FieldVerdict.VERIFIED, "the server has it, and uses what it lists"
    return FieldVerdict.NOT_TOLD, "the server has it; nobody says whether it was used"


def _kept(claim: Testimony, came: Came) -> tuple[Saying, ...]:
    """What the answer said, where only an earlier judgement still knows it."""
    said = {one.witness for one in claim.sayings}
    return tuple(one for one in came.kept.get(claim.field, ()) if one.witness not in said)


def _of_checkpoint(fields: Sequence[FieldOutcome], catalog: Catalog | None) -> str:
    """A checkpoint that the server has and did not use is a contradiction, too: its lists may be old."""
    drift = next(
        (one for one in fields if one.field == CHECKPOINT and one.outcome is FieldVerdict.DRIFT), None
    )
    if drift is None or catalog is None or drift.by is Witness.LISTS:
        return ""
    return f"it was asked for {drift.asked} and used {drift.used}"
