"""What becomes of pictures that are not what was asked for: kept and marked, the one retry, or the end of the job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jobs.lifecycle import TruthPolicy
from jobs.truth.outcomes import CHECKPOINT, CONTENT, SIZE, WHOLE, FieldOutcome, Judgement
from webui.driver import Driver
from webui.errors import (
    TruthDriftError,
    UnknownCheckpointError,
    WebUIBadAnswerError,
    WebUIError,
    WebUIWrongSizeError,
)
from webui.kinds import kind_of_stage, result_noun, server_noun
from webui.work.catalog import Catalog, Has, Need, Thing
from webui.work.unit import Request

MOST_TOLD: Final = 4
"""Drifts that an error names; the judgement is not kept where the picture is not."""


def refusal_of(
    judgements: Sequence[Judgement],
    policy: TruthPolicy,
    request: Request,
    driver: Driver,
    catalog: Catalog | None,
) -> WebUIError | None:
    """Why the pictures cannot be results; None where they are kept, marked or not.

    A picture of no use is never kept: it costs the job's one retry, and by FAIL the job. A checkpoint that the server
    is not known to have is rejected at once, because it would be missing again.
    """
    drifts = [one for judgement in judgements for one in judgement.drifts]
    worst = next((one for one in drifts if one.grave), None)
    if worst is None and (policy is TruthPolicy.MARK or not drifts):
        return None
    kind = kind_of_stage(request.stage)
    error = _error_of(worst or drifts[0], drifts, driver, catalog, kind)
    if isinstance(error, WebUIBadAnswerError):
        error.again = policy is not TruthPolicy.FAIL
    error.endpoint, error.stage = request.endpoint, request.stage
    error.method, error.status = "POST", 200
    return error


def _error_of(
    first: FieldOutcome, drifts: Sequence[FieldOutcome], driver: Driver, catalog: Catalog | None, kind: str
) -> WebUIError:
    what = result_noun(kind)
    if first.field == WHOLE:
        return WebUIBadAnswerError(f"the {server_noun(kind)}'s {what} is not whole: {first.used}")
    if first.field == SIZE:
        used, asked = (size.replace("x", " x ") for size in (first.used, first.asked))
        return WebUIWrongSizeError(f"{used} pixels instead of {asked}")
    if first.field == CHECKPOINT:
        listed = (
            catalog is not None and driver.find(catalog, Need(Thing.CHECKPOINT, first.asked)).has is Has.YES
        )
        if not listed:
            return UnknownCheckpointError(f"asked for {first.asked!r}, rendered with {first.used!r}")
    told = list(dict.fromkeys(_words(one, what) for one in (first, *drifts) if one.grave == first.grave))
    more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    return TruthDriftError("; ".join(told[:MOST_TOLD]) + more)


def _words(drift: FieldOutcome, what: str) -> str:
    if drift.field == CONTENT:
        return f"the {what} is {drift.used if drift.used == 'black' else 'of one colour'}"
    who = f", by {drift.by.words}" if drift.by else ""
    why = f" ({drift.why})" if drift.why else ""
    return f"{drift.field}: asked for {drift.asked}, got {drift.used}{who}{why}"
