"""The records of films and edits: what a row, its pictures and its settings make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from jobs.building.plan import Plan
from jobs.building.sweeps import ConfigVariant
from jobs.errors import RecordProblem
from jobs.packs.findings import Report
from jobs.packs.rows import PackRow
from jobs.records.base import RecordInput
from jobs.records.film_checks import words_problems
from jobs.records.films import EditRecord, I2VRecord
from jobs.records.reading import AnyRecord

_RECORDS: Final[Mapping[str, type[I2VRecord | EditRecord]]] = {"i2v": I2VRecord, "edit": EditRecord}


def film_draft(plan: Plan, revision: str, config: ConfigVariant) -> I2VRecord | EditRecord:
    """What every record of a config variant has in common; it lacks the fields of a row until it is copied."""
    return _RECORDS[plan.pack.kind].model_construct(
        schema_version=1,
        kind=plan.pack.kind,
        prompt_pack_id=plan.source.pack_id,
        prompt_pack_name=plan.pack.title,
        pack_revision=revision,
        stage_chain=config.chain,
        loop_type="pipeline",
        loop_count=config.document.pipeline.loop_count,
        config_variant_label=config.label,
        batch_index=0,
        batch_total=plan.counts.repeats,
        run_mode="QUEUE",
        queue_source=plan.options.queue_source,
    )


def inputs_of(row: PackRow) -> dict[str, Any]:
    """The field of a record that names the row's pictures."""
    return {"inputs": tuple(RecordInput(sha256=image.sha256, name=image.name) for image in row.images)}


def words_refused(plan: Plan, records: Iterable[AnyRecord]) -> tuple[RecordProblem, ...]:
    """What is wrong with the words of these records when all is filled in, each once for a row.

    A row whose prompt could not be read is not told to be empty as well.
    """
    kind, report = plan.pack.kind, Report(plan.source.pack_id)
    unread = {problem.row for problem in plan.pack.text.problems if problem.field in ("prompt", "line")}
    told = {("empty_positive", "prompt", row) for row in unread}
    for record in records:
        row = record.prompt_pack_row_index + 1
        for code, field, words in words_problems(kind, record.positive_prompt, record.negative_prompt):
            if (code, field, row) not in told:
                told.add((code, field, row))
                report.refuse(code, words, field, row=row)
    return tuple(report.problems)
