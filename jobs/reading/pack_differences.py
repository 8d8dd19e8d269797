"""Two revisions of a pack side by side, as the page of their differences shows them."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.models import PackRevision
from jobs.packs.differences import (
    RowDifference,
    TextDifference,
    document_difference,
    row_difference,
    text_difference,
)
from jobs.reading.pack_rows import read
from jobs.reading.packs import RevisionLine, revision_lines
from jobs.submitting.submission import source_of


@dataclass(frozen=True, slots=True)
class RevisionDifference:
    """What `new` changed since `old`; `revisions` are all that can be chosen, the newest first."""

    pack_id: int
    name: str
    old: RevisionLine
    new: RevisionLine
    revisions: tuple[RevisionLine, ...]
    rows: RowDifference
    text: TextDifference
    document: TextDifference

    @property
    def is_same(self) -> bool:
        rows = self.rows
        return not (self.text.changed or self.document.changed or rows.changed or rows.added or rows.removed)


def revision_difference(
    pack_id: int, old: int | None = None, new: int | None = None
) -> RevisionDifference | None:
    """Revision `new` (None: the newest) against `old` (None: the one before it). None where one is missing.

    The first revision, which has none before it, is compared with itself.
    """
    lines = revision_lines(pack_id)
    if not lines:
        return None
    number = new if new is not None else lines[0].number
    before = (
        old
        if old is not None
        else max((line.number for line in lines if line.number < number), default=number)
    )
    found = PackRevision.objects.filter(pack=pack_id, number__in={number, before}).select_related("pack")
    revisions = {revision.number: revision for revision in found.select_related("pack", "imported_by")}
    if number not in revisions or before not in revisions:
        return None
    left, right = revisions[before], revisions[number]
    return RevisionDifference(
        pack_id=pack_id,
        name=right.pack.name,
        old=RevisionLine.of(left),
        new=RevisionLine.of(right),
        revisions=lines,
        rows=row_difference(read(source_of(left)).pack.rows, read(source_of(right)).pack.rows),
        text=text_difference(left.text, right.text),
        document=document_difference(left.document, right.document),
    )
