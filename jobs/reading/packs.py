"""Packs as pages show them: the list, and one revision of one pack. Its rows are `pack_rows`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Count, Max, QuerySet, Sum
from django.db.models.functions import Length

from jobs.lifecycle import JobStatus
from jobs.models import Job, PackOrigin, PackRevision, PromptPack, Submission
from jobs.packs.kinds import WORDS_OF_KIND
from jobs.reading.pack_choices import PackChoices, pack_choices
from jobs.reading.pack_rows import RowPage, read, row_at, row_page
from jobs.submitting.submission import source_of
from webui.kinds import WorkKind

#: Packs on one page of the list.
PACKS_SHOWN = 50
#: Warnings, revisions and submissions that the page of one pack lists one by one.
MAX_WARNINGS = 100
MAX_REVISIONS = 50
LAST_SUBMISSIONS = 5
#: Packs, and characters of all their files, that a page reads at once.
MAX_TOGETHER = 100
MAX_CHARS_TOGETHER = 32_000_000
#: Failures that the list looks at, the newest.
MAX_FAILURES = 2_000


@dataclass(frozen=True, slots=True)
class PackLine:
    """One pack of the list, with facts of its current revision and of its jobs; `failed` ones need attention."""

    id: int
    name: str
    title: str
    revision: int
    rows: int
    warnings: int
    imported_at: datetime
    imported_by: str
    submitted_at: datetime | None
    submission_id: int | None
    queued: int
    running: int
    failed: int
    kind: str = WorkKind.IMAGE.value

    @property
    def makes(self) -> str:
        """What it makes, in a word; empty for pictures."""
        return "" if self.kind == WorkKind.IMAGE else WORDS_OF_KIND[self.kind]


@dataclass(frozen=True, slots=True)
class PackPage:
    """Some packs by name; `after` is the name to go on from, "" on the last page.

    `failures_cut`: there are so many failures that only the newest were counted. `forms` are packs that forms have made
    and that are left out.
    """

    packs: tuple[PackLine, ...]
    after: str
    failures_cut: bool
    forms: int = 0


@dataclass(frozen=True, slots=True)
class RevisionLine:
    """`previous` is the number of the revision before it, 0 for the first."""

    id: int
    number: int
    previous: int
    rows: int
    warnings: int
    sha256: str
    imported_at: datetime
    imported_by: str

    @classmethod
    def of(cls, revision: PackRevision, previous: int = 0) -> RevisionLine:
        return cls(
            id=revision.pk,
            number=revision.number,
            previous=previous,
            rows=revision.row_count,
            warnings=len(revision.warnings),
            sha256=revision.sha256,
            imported_at=revision.created_at,
            imported_by=_name_of(revision),
        )


@dataclass(frozen=True, slots=True)
class WarningLine:
    """A warning and the row (from 1) where its line is shown; 0 for one about the JSON."""

    message: str
    line: int | None
    row: int


@dataclass(frozen=True, slots=True)
class SubmissionLine:
    id: int
    created_at: datetime
    submitted_by: str
    job_count: int


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """A pack whose settings can stand under another one's."""

    revision_id: int
    name: str


@dataclass(frozen=True, slots=True)
class PackDetail:
    id: int
    name: str
    kind: str
    title: str
    revision: RevisionLine
    is_current: bool
    revisions: tuple[RevisionLine, ...]
    rows: RowPage
    choices: PackChoices
    warnings: tuple[WarningLine, ...]
    more_warnings: int
    problems: tuple[str, ...]
    submissions: tuple[SubmissionLine, ...]


def pack_page(name: str = "", after: str = "", *, with_forms: bool = False) -> PackPage:
    """Packs whose name or title holds `name`, in order of their names; always the same number of queries.

    Those that forms have made are many and seldom looked for: they are left out unless they are asked for.
    """
    every = PromptPack.objects.filter(current__isnull=False)
    forms = 0 if with_forms else every.filter(origin=PackOrigin.FORM).count()
    packs = every.filter(name__gt=after).order_by("name")
    if not with_forms:
        packs = packs.exclude(origin=PackOrigin.FORM)
    if name:
        packs = packs.filter(name__icontains=name) | packs.filter(title__icontains=name)
    packs = packs.select_related("current__imported_by").defer("current__text", "current__document")
    found = list(packs[: PACKS_SHOWN + 1])
    shown = found[:PACKS_SHOWN]
    submitted = _last_submissions([pack.pk for pack in shown])
    waiting = _waiting([pack.name for pack in shown])
    failures, failures_cut = _failures()
    lines = [
        _pack_line(pack, pack.current, submitted, waiting, failures[pack.name])
        for pack in shown
        if pack.current is not None
    ]
    return PackPage(tuple(lines), shown[-1].name if len(found) > PACKS_SHOWN else "", failures_cut, forms)


def _pack_line(
    pack: PromptPack,
    revision: PackRevision,
    submitted: dict[int, tuple[int, datetime]],
    waiting: dict[tuple[str, str], int],
    failed: int,
) -> PackLine:
    submission_id, submitted_at = submitted.get(pack.pk, (None, None))
    return PackLine(
        id=pack.pk,
        name=pack.name,
        title=pack.title if pack.title != pack.name else "",
        revision=revision.number,
        rows=revision.row_count,
        warnings=len(revision.warnings),
        imported_at=revision.created_at,
        imported_by=_name_of(revision),
        submitted_at=submitted_at,
        submission_id=submission_id,
        queued=waiting.get((pack.name, JobStatus.QUEUED), 0),
        running=waiting.get((pack.name, JobStatus.RUNNING), 0),
        failed=failed,
        kind=pack.kind,
    )


def _last_submissions(pack_ids: Sequence[int]) -> dict[int, tuple[int, datetime]]:
    """The newest submission of each pack, and when it was."""
    newest = (
        Submission.objects.filter(revisions__pack_id__in=pack_ids)
        .order_by()
        .values_list("revisions__pack_id")
        .annotate(Max("id"), Max("created_at"))
    )
    return {pack_id: (submission_id, at) for pack_id, submission_id, at in newest}


def _waiting(names: Sequence[str]) -> dict[tuple[str, str], int]:
    """Queued and running jobs by pack and status, from the index `job_queue_by_pack` alone."""
    counted = (
        Job.objects.filter(pack_name__in=names, finished_at__isnull=True)
        .order_by()
        .values_list("pack_name", "status")
        .annotate(number=Count("id"))
    )
    return {(name, status): number for name, status, number in counted}


def _failures() -> tuple[Counter[str], bool]:
    """Failures that need attention by pack, and whether there are more than were counted."""
    newest = Job.objects.filter(needs_attention=True).order_by("-finished_at", "-id")
    names = list(newest.values_list("pack_name", flat=True)[: MAX_FAILURES + 1])
    return Counter(names[:MAX_FAILURES]), len(names) > MAX_FAILURES


def why_too_much(revisions: Sequence[int] | QuerySet[Any, Any], number: int) -> str:
    """Why so many packs are not submitted together from a page, "" where they are; `revisions` are ids, or a query.

    All of them are read at once, in the process that answers everybody.
    """
    if number > MAX_TOGETHER:
        return f"{number:,} packs are more than the {MAX_TOGETHER} that are submitted together: choose fewer."
    if number < 2:
        return ""
    size = Sum(Length("text") + Length("document"))
    chars = PackRevision.objects.filter(pk__in=revisions).aggregate(size=size)["size"] or 0
    if chars <= MAX_CHARS_TOGETHER:
        return ""
    return (
        f"These {number} packs hold {chars / 1e6:,.0f} million characters, more than the "
        f"{MAX_CHARS_TOGETHER / 1e6:,.0f} million that are submitted together: choose fewer."
    )


def revisions_of(pack_ids: Sequence[int]) -> list[PackRevision]:
    """The current revisions of these packs, in the order of the packs' names; unknown ones are left out."""
    packs = PromptPack.objects.filter(pk__in=pack_ids, current__isnull=False).select_related("current__pack")
    return [pack.current for pack in packs.order_by("name") if pack.current is not None]


def preset_choices() -> tuple[PresetChoice, ...]:
    """Packs of pictures that bring settings; one query."""
    packs = PromptPack.objects.filter(current__isnull=False, kind=WorkKind.IMAGE).exclude(
        current__document=""
    )
    return tuple(PresetChoice(*found) for found in packs.order_by("name").values_list("current_id", "name"))


def pack_detail(pack_id: int, number: int | None = None, row: int = 1) -> PackDetail | None:
    """A pack and one of its revisions (the current one without a number) with the rows about `row`.

    None when there is no such pack or revision.
    """
    pack = PromptPack.objects.filter(pk=pack_id).first()
    if pack is None:
        return None
    wanted = {"number": number} if number is not None else {"pk": pack.current_id}
    revision = pack.revisions.select_related("pack", "imported_by").filter(**wanted).first()
    if revision is None:
        return None
    source = source_of(revision)
    found = read(source)
    warnings = found.warnings
    return PackDetail(
        id=pack.pk,
        name=pack.name,
        kind=pack.kind,
        title=pack.title if pack.title != pack.name else "",
        revision=RevisionLine.of(revision),
        is_current=revision.pk == pack.current_id,
        revisions=revision_lines(pack.pk),
        rows=row_page(source, row),
        choices=pack_choices(source),
        warnings=tuple(
            WarningLine(warning.message, warning.line, row_at(found.pack.rows, warning))
            for warning in islice(warnings, MAX_WARNINGS)
        ),
        more_warnings=max(0, len(warnings) - MAX_WARNINGS),
        problems=tuple(problem.message for problem in found.pack.problems),
        submissions=_submissions(pack.pk),
    )


def revision_lines(pack_id: int) -> tuple[RevisionLine, ...]:
    """The newest first; one query."""
    found = PackRevision.objects.filter(pack=pack_id).select_related("imported_by")
    rows = list(found.defer("text", "document").order_by("-number")[: MAX_REVISIONS + 1])
    before = [*(row.number for row in rows[1:]), 0]
    lines = [RevisionLine.of(row, previous) for row, previous in zip(rows, before, strict=False)]
    return tuple(lines[:MAX_REVISIONS])


def _submissions(pack_id: int) -> tuple[SubmissionLine, ...]:
    found = Submission.objects.filter(revisions__pack_id=pack_id).select_related("submitted_by")
    return tuple(
        SubmissionLine(made.pk, made.created_at, _user_name(made), made.job_count)
        for made in found.distinct().order_by("-id")[:LAST_SUBMISSIONS]
    )


def _user_name(submission: Submission) -> str:
    return submission.submitted_by.get_username() if submission.submitted_by else ""


def _name_of(revision: PackRevision) -> str:
    return revision.imported_by.get_username() if revision.imported_by else ""
