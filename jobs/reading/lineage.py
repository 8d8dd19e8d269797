"""What a job was made from and what became of its results: input pictures and the jobs on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.models import InputPicture, InputUse, Job
from webui.kinds import result_noun

#: Jobs that were made from the results of one, told on its page; the newest.
MOST = 20


@dataclass(frozen=True, slots=True)
class InputLine:
    """A picture that a film or an edit is made from. `from_job` made it, as its picture `from_number`."""

    sha256: str
    name: str
    width_px: int | None = None
    height_px: int | None = None
    size_bytes: int | None = None
    """The three are None where the picture is not kept."""
    from_job: int | None = None
    from_output: int | None = None
    from_number: int = 0


@dataclass(frozen=True, slots=True)
class Descendant:
    """A job that was made from results of this one."""

    job_id: int
    noun: str


@dataclass(frozen=True, slots=True)
class Lineage:
    inputs: tuple[InputLine, ...] = ()
    became: tuple[Descendant, ...] = ()
    """The newest first, at most `MOST`."""
    more: bool = False


def lineage_of(job: Job, record: dict[str, Any]) -> Lineage:
    """One query for what became of it, and another one where it has input pictures."""
    of_results = InputUse.objects.filter(picture__from_output__job_id=job.pk).values("record_id")
    made = Job.objects.filter(record_id__in=of_results).order_by("-id").values_list("pk", "kind")[: MOST + 1]
    became = [Descendant(pk, result_noun(kind)) for pk, kind in made]
    return Lineage(_inputs(record.get("inputs", ())), tuple(became[:MOST]), more=len(became) > MOST)


def _inputs(asked: Any) -> tuple[InputLine, ...]:
    if not asked:
        return ()
    rows = InputPicture.objects.select_related("from_output").in_bulk(
        [one["sha256"] for one in asked], field_name="sha256"
    )
    return tuple(
        _line(one["sha256"], one["name"] or one["sha256"][:12], rows.get(one["sha256"])) for one in asked
    )


def _line(sha256: str, name: str, row: InputPicture | None) -> InputLine:
    if row is None:
        return InputLine(sha256, name)
    line = InputLine(sha256, name, row.width_px, row.height_px, row.size_bytes)
    output = row.from_output
    if output is None:
        return line
    return InputLine(
        *(sha256, name, row.width_px, row.height_px, row.size_bytes),
        from_job=output.job_id,
        from_output=output.pk,
        from_number=output.image_index + 1,
    )
