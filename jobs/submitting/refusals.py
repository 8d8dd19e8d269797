"""What refuses a submission as a whole: too many records or none, and pictures that nobody gave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.conf import settings

from jobs.errors import RecordProblem, RefusedError
from jobs.inputs.store import unknown_of
from jobs.records.reading import AnyRecord


def unknown_inputs(records: Iterable[AnyRecord]) -> list[RecordProblem]:
    """A problem for each row with pictures that nobody gave; none for records of pictures."""
    named: dict[tuple[str, int], dict[str, str]] = {}
    for record in records:
        if record.inputs:
            row = record.prompt_pack_id, record.prompt_pack_row_index + 1
            named.setdefault(row, {}).update((one.sha256, one.name) for one in record.inputs)
    unknown = unknown_of({sha256 for pictures in named.values() for sha256 in pictures})
    return [
        RecordProblem(
            code="missing_picture",
            message=(
                f"Pack {pack}, row {row}: there is no input picture {name or sha256[:12]}. "
                "Submit its folder or list again."
            ),
            pack=pack,
            row=row,
            field="inputs",
        )
        for (pack, row), pictures in named.items()
        for sha256, name in pictures.items()
        if sha256 in unknown
    ]


def too_many(count: int) -> list[RecordProblem]:
    """The refusal of more records than one submission may hold; empty when there is room."""
    cap = settings.STABLENEW_MAX_RECORDS
    if count <= cap:
        return []
    return [
        RecordProblem(
            code="too_many",
            message=f"{count:,} records are more than the {cap:,} that one submission may hold. "
            "Use --limit or --rows, or raise STABLENEW_MAX_RECORDS.",
        )
    ]


def refuse(problems: Sequence[RecordProblem], records: Sequence[AnyRecord]) -> None:
    """Raises `RefusedError` where there are problems, pictures that nobody gave, or no records."""
    found = [*problems, *unknown_inputs(records)]
    if not found and not records:
        found = [RecordProblem(code="nothing", message="The submission has no records.")]
    if found:
        raise RefusedError(found)
