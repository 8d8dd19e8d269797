"""Judgements as rows: what is kept of each accepted picture, and how it is read back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jobs.models import OutputImage, TruthCheck
from jobs.truth.judge import RULES
from jobs.truth.outcomes import FieldOutcome, FieldVerdict, Judgement
from webui.work.testimony import Saying, Witness


def check_of(output: OutputImage, judgement: Judgement) -> TruthCheck:
    """A row that is not saved."""
    return TruthCheck(
        output=output,
        verdict=judgement.verdict,
        fields=[_document(one) for one in judgement.fields],
        rules=RULES,
    )


def newest_checks(outputs: Iterable[int]) -> dict[int, TruthCheck]:
    """The judgement that counts, by the id of its picture; one query."""
    rows = TruthCheck.objects.filter(output_id__in=list(outputs)).order_by("id")
    return {row.output_id: row for row in rows}


def outcomes_of(check: TruthCheck) -> tuple[FieldOutcome, ...]:
    """Its fields as they were judged; what an older version of the rules wrote in another way is left out."""
    return tuple(
        _outcome(row) for row in check.fields if isinstance(row, dict) and row.get("outcome") in _OUTCOMES
    )


def drifts_of(judgements: Sequence[Judgement]) -> list[dict[str, str]]:
    """Every drift as facts of an event or an envelope: field, asked, used, who says so."""
    return [
        {"field": one.field, "asked": one.asked, "used": one.used, "by": one.by.words if one.by else ""}
        for judgement in judgements
        for one in judgement.drifts
    ]


def _document(one: FieldOutcome) -> dict[str, Any]:
    return {
        "field": one.field,
        "outcome": str(one.outcome),
        "asked": one.asked,
        "used": one.used,
        "by": str(one.by or ""),
        "why": one.why,
        "told": [[str(said.witness), said.used, said.same, said.proves] for said in one.sayings],
    }


def _outcome(row: dict[str, Any]) -> FieldOutcome:
    by = row.get("by")
    sayings = (said for said in row.get("told", ()) if len(said) == 4 and said[0] in _WITNESSES)
    return FieldOutcome(
        field=str(row.get("field", "")),
        outcome=FieldVerdict(row["outcome"]),
        asked=str(row.get("asked", "")),
        used=str(row.get("used", "")),
        by=Witness(by) if by in _WITNESSES else None,
        why=str(row.get("why", "")),
        sayings=tuple(
            Saying(Witness(who), str(used), bool(same), bool(proves)) for who, used, same, proves in sayings
        ),
    )


_OUTCOMES = frozenset(map(str, FieldVerdict))
_WITNESSES = frozenset(map(str, Witness))
