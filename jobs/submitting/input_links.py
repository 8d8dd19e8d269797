"""Which input pictures records are made from, as rows: for the way from a picture to what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.models import InputPicture, InputUse, JobRecord
from jobs.records.reading import AnyRecord

#: Rows per statement.
MANY = 2000


def link_inputs(rows: Sequence[JobRecord], records: Sequence[AnyRecord]) -> None:
    """In the caller's transaction; nothing is asked where no record has input pictures."""
    wanted = [(row, one.sha256) for row, record in zip(rows, records, strict=True) for one in record.inputs]
    hashes = sorted({sha256 for _, sha256 in wanted})
    known: dict[str, int] = {}
    for start in range(0, len(hashes), MANY):
        found = InputPicture.objects.filter(sha256__in=hashes[start : start + MANY])
        known |= dict(found.values_list("sha256", "pk"))
    links = dict.fromkeys((row.pk, known[sha256]) for row, sha256 in wanted if sha256 in known)
    InputUse.objects.bulk_create(
        (InputUse(record_id=record_id, picture_id=picture_id) for record_id, picture_id in links),
        batch_size=MANY,
    )
