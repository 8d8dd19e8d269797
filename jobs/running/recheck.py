"""Judge stored results again, from their files and rows: after the rules have changed, or for jobs of older versions.

The answer is gone, so what it said is taken from the earlier judgement; the lists of a server prove something only of
what the same boot has drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jobs.errors import RecordChangedError
from jobs.lifecycle import JobStatus
from jobs.models import Job, OutputImage, StageAttempt, TruthCheck
from jobs.records.reading import AnyRecord, read_record
from jobs.running.outputs import read_kept
from jobs.running.requests import unit_at, work_of
from jobs.truth.checks import judge_again, load_checks, outcomes_of
from jobs.truth.judge import Came, came_of, judge, look_at_source
from jobs.truth.look import Look
from jobs.truth.outcomes import DISTINCT, FieldOutcome, FieldVerdict, Judgement
from webui.driver import Driver, driver_of
from webui.nodes.catalogs import catalog_of_boot
from webui.work.testimony import Saying, Witness
from webui.work.told import PictureFacts
from webui.work.unit import Request

GONE: Final = "its file is gone, or no longer the one that was accepted"
OF_THE_ANSWER: Final = frozenset({Witness.INFO, Witness.ANSWER_TEXT})


@dataclass(frozen=True, slots=True)
class Rechecked:
    """`before` and `after` are verdicts, "" for none; `judged` counts pictures, `left_out` those that cannot be."""

    job_id: int
    before: str
    after: str
    judged: int
    left_out: int


def recheck(job_id: int) -> Rechecked | None:
    """Judge the results of a completed job and keep what was found; None where there is none of that number."""
    job = Job.objects.select_related("record").filter(pk=job_id, status=JobStatus.COMPLETED).first()
    if job is None:
        return None
    before = job.truth
    record = read_record(job.record.canonical_json, sha256=job.record.sha256)
    outputs = list(OutputImage.objects.filter(job=job, take=job.take))
    load_checks(outputs)
    contents = {(row.stage, row.image_index): _content(row) for row in outputs}
    attempts = StageAttempt.objects.filter(pk__in={row.attempt_id for row in outputs})
    judged: list[tuple[OutputImage, Judgement]] = []
    for attempt in attempts.select_related("node__catalog"):
        rows = [row for row in outputs if row.attempt_id == attempt.pk]
        judged += _judged(record, attempt, rows, contents)
    after = judge_again(job, [row for row, _ in judged], [one for _, one in judged], outputs)
    return Rechecked(job_id, before, after, len(judged), len(outputs) - len(judged))


def _judged(
    record: AnyRecord,
    attempt: StageAttempt,
    rows: Sequence[OutputImage],
    contents: Mapping[tuple[str, int], bytes | None],
) -> list[tuple[OutputImage, Judgement]]:
    """Nothing where the request cannot be made again: what it was made from is gone."""
    driver = driver_of(attempt.node.driver)
    unit = unit_at(record, attempt.stage_index, attempt.image_index)
    if unit is None:
        return []

    def picture_of(stage: str, image: int) -> bytes:
        content = contents.get((stage, image))
        if content is None:
            raise LookupError(GONE)
        return content

    try:
        request = driver.request(work_of(record, unit, picture_of, task_id=attempt.task_id))
    except (LookupError, ValueError, OSError, RecordChangedError):
        return []
    came = [_came(row, contents[row.stage, row.image_index], driver, request) for row in rows]
    catalog = catalog_of_boot(attempt.node, attempt.node_generation)
    judgements = judge(driver, request, came, catalog=catalog, source=look_at_source(request))
    return [
        (row, _with_what_only_then_was_known(one, row.truth_check))
        for row, one in zip(rows, judgements, strict=True)
    ]


def _content(row: OutputImage) -> bytes | None:
    try:
        return read_kept(row)
    except OSError:
        return None


def _came(row: OutputImage, content: bytes | None, driver: Driver, request: Request) -> Came:
    earlier: TruthCheck | None = row.truth_check
    kept = {one.field: _of_the_answer(one.sayings) for one in outcomes_of(earlier)} if earlier else {}
    of_row = PictureFacts(row.infotext, row.seed)
    if content is None:
        return Came(Look(row.width_px, row.height_px, seen=False, problem=GONE), of_row, kept=kept)
    came = came_of(driver, request, content, PictureFacts())
    return replace(came, told=PictureFacts() if came.own.infotext else of_row, kept=kept)


def _of_the_answer(sayings: Sequence[Saying]) -> tuple[Saying, ...]:
    return tuple(one for one in sayings if one.witness in OF_THE_ANSWER)


def _with_what_only_then_was_known(judgement: Judgement, earlier: TruthCheck | None) -> Judgement:
    """What the lists of then decided, and that the picture was that of another job."""
    if earlier is None:
        return judgement
    then = {one.field: one for one in outcomes_of(earlier) if _only_then(one)}
    fields = [_or_then(one, then.get(one.field)) for one in judgement.fields]
    named = {one.field for one in fields}
    fields += [one for name, one in then.items() if name == DISTINCT and name not in named]
    return replace(judgement, fields=tuple(fields))


def _only_then(one: FieldOutcome) -> bool:
    return one.by is Witness.LISTS or (one.field == DISTINCT and one.outcome is FieldVerdict.DRIFT)


def _or_then(now: FieldOutcome, then: FieldOutcome | None) -> FieldOutcome:
    if then is None or then.asked != now.asked:
        return now
    known = now.outcome is not FieldVerdict.NOT_TOLD and now.field != DISTINCT
    return now if known else then
