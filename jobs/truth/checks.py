"""Judgements as rows: what is kept of each accepted picture, and how it is read back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db import transaction

from jobs.lifecycle import TERMINAL, TruthVerdict
from jobs.models import Job, OutputImage, TruthCheck
from jobs.truth.judge import RULES
from jobs.truth.outcomes import FieldOutcome, FieldVerdict, Judgement, worst
from webui.work.testimony import Saying, Witness

OF_PROMPT: Final = ("LoRA ", "Embedding ")
"""Fields whose names are words of the prompt."""
MOST_DRIFTS: Final = 20
"""Of one job, told in its event; all of them are in the rows."""


def keep_checks(outputs: Sequence[OutputImage], judgements: Sequence[Judgement]) -> None:
    """Write what was found of each of these rows, in the caller's transaction and in one statement."""
    checks = (
        [
            TruthCheck(
                output=output,
                verdict=judgement.verdict,
                fields=[_document(one) for one in judgement.fields],
                rules=RULES,
            )
            for output, judgement in zip(outputs, judgements, strict=True)
        ]
        if judgements
        else []
    )
    TruthCheck.objects.bulk_create(checks)
    for output, check in zip(outputs, checks, strict=False):
        output.truth_check = check


def judge_again(
    job: Job,
    outputs: Sequence[OutputImage],
    judgements: Sequence[Judgement],
    results: Sequence[OutputImage],
) -> str:
    """Add these judgements and give the job the verdict that follows for all its `results`: all that may change of a
    job that has ended. Returns the verdict.
    """
    with transaction.atomic(durable=True):
        keep_checks(outputs, judgements)
        verdict = truth_of(results)
        Job.objects.filter(pk=job.pk, status__in=TERMINAL).update(truth=verdict)
    return verdict


def load_checks(outputs: Sequence[OutputImage]) -> None:
    """Give each row its newest judgement; one query, and none where all have theirs."""
    missing = {output.pk: output for output in outputs if output.truth_check is None}
    if missing:
        for output_id, check in newest_checks(missing).items():
            missing[output_id].truth_check = check


def truth_of(outputs: Sequence[OutputImage]) -> str:
    """The verdict of a job with these results; "" where none was ever judged."""
    load_checks(outputs)
    return worst([output.truth_check.verdict if output.truth_check else "" for output in outputs])


def drift_facts(outputs: Sequence[OutputImage]) -> dict[str, Any]:
    """What the event of a completed job says of its drift; {} where there is none."""
    load_checks(outputs)
    found = [
        {"picture": output.path, **_facts(one)}
        for output in outputs
        if output.truth_check and output.truth_check.verdict == TruthVerdict.DRIFTED
        for one in outcomes_of(output.truth_check)
        if one.outcome is FieldVerdict.DRIFT
    ]
    return {"truth": TruthVerdict.DRIFTED, "drifts": found[:MOST_DRIFTS]} if found else {}


def newest_checks(outputs: Iterable[int]) -> dict[int, TruthCheck]:
    """The judgement that counts, by the id of its picture; one query."""
    rows = TruthCheck.objects.filter(output_id__in=list(outputs)).order_by("id")
    return {row.output_id: row for row in rows}


def outcomes_of(check: TruthCheck) -> tuple[FieldOutcome, ...]:
    """Its fields as they were judged; what an older version of the rules wrote in another way is left out."""
    return tuple(
        _outcome(row) for row in check.fields if isinstance(row, dict) and row.get("outcome") in _OUTCOMES
    )


def _facts(one: FieldOutcome) -> dict[str, str]:
    """For an event, which holds no words of the prompt: a LoRA or an embedding is told without its name."""
    by = one.by.words if one.by else ""
    if one.field.startswith(OF_PROMPT):
        return {"field": one.field.partition(" ")[0], "asked": "", "used": "", "by": by}
    return {"field": one.field, "asked": one.asked, "used": one.used, "by": by}


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
