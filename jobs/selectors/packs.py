"""Packs as pages show them: the list, one revision with its rows, one submission."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min

from jobs.builder import ParsedPack, parse_pack
from jobs.lifecycle import JobStatus
from jobs.models import Job, PackRevision, PromptPack, Submission
from jobs.packs.findings import PackWarning
from jobs.packs.grammar import PackRow
from jobs.submission import source_of


@dataclass(frozen=True, slots=True)
class PackLine:
    """One pack of the list, with facts of its current revision."""

    id: int
    name: str
    title: str
    revision: int
    rows: int
    warnings: int
    imported_at: datetime
    imported_by: str


@dataclass(frozen=True, slots=True)
class RevisionLine:
    id: int
    number: int
    rows: int
    warnings: int
    sha256: str
    imported_at: datetime
    imported_by: str


@dataclass(frozen=True, slots=True)
class RowLine:
    """A row as the parser sees it; numbers and lines count from 1, `lines` is empty without a text."""

    number: int
    lines: str
    positive: str
    negative: str
    tags: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackDetail:
    id: int
    name: str
    title: str
    revision: RevisionLine
    is_current: bool
    revisions: tuple[RevisionLine, ...]
    rows: tuple[RowLine, ...]
    warnings: tuple[PackWarning, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SubmissionDetail:
    """What one submission made, and how its jobs stand now; a rerun belongs to no submission."""

    id: int
    created_at: datetime
    submitted_by: str
    job_count: int
    image_count: int
    build_seed: int
    packs: tuple[str, ...]
    standing: tuple[tuple[JobStatus, int], ...]
    first_job: int | None
    last_job: int | None


def pack_lines() -> tuple[PackLine, ...]:
    packs = PromptPack.objects.filter(current__isnull=False).select_related("current__imported_by")
    lines = []
    for pack in packs.defer("current__text", "current__document"):
        revision = pack.current
        if revision is not None:
            lines.append(
                PackLine(
                    id=pack.pk,
                    name=pack.name,
                    title=pack.title if pack.title != pack.name else "",
                    revision=revision.number,
                    rows=revision.row_count,
                    warnings=len(revision.warnings),
                    imported_at=revision.created_at,
                    imported_by=_name_of(revision),
                )
            )
    return tuple(lines)


def pack_detail(pack_id: int, number: int | None = None) -> PackDetail | None:
    """A pack and one of its revisions (the current one without a number); None when there is none."""
    pack = PromptPack.objects.filter(pk=pack_id).first()
    if pack is None:
        return None
    wanted = {"number": number} if number is not None else {"pk": pack.current_id}
    revision = pack.revisions.select_related("pack", "imported_by").filter(**wanted).first()
    if revision is None:
        return None
    others = pack.revisions.select_related("imported_by").defer("text", "document").order_by("-number")
    parsed = parse_pack(source_of(revision))
    return PackDetail(
        id=pack.pk,
        name=pack.name,
        title=pack.title if pack.title != pack.name else "",
        revision=_revision_line(revision),
        is_current=revision.pk == pack.current_id,
        revisions=tuple(_revision_line(other) for other in others[:50]),
        rows=tuple(_row_line(row, parsed) for row in parsed.rows),
        warnings=parsed.warnings,
        problems=tuple(problem.message for problem in parsed.problems),
    )


def submission_detail(submission_id: int) -> SubmissionDetail | None:
    submission = Submission.objects.select_related("submitted_by").filter(pk=submission_id).first()
    if submission is None:
        return None
    mine = Job.objects.filter(record__submission=submission, rerun_of=None)
    grouped = mine.values_list("status").annotate(Count("id"), Min("id"), Max("id")).order_by("status")
    rows = list(grouped)
    counted = {status: number for status, number, _, _ in rows}
    return SubmissionDetail(
        id=submission.pk,
        created_at=submission.created_at,
        submitted_by=submission.submitted_by.get_username() if submission.submitted_by else "",
        job_count=submission.job_count,
        image_count=submission.image_count,
        build_seed=submission.build_seed,
        packs=tuple(part["pack"] for part in submission.options),
        standing=tuple((status, counted[status]) for status in JobStatus if counted.get(status)),
        first_job=min((first for _, _, first, _ in rows), default=None),
        last_job=max((last for _, _, _, last in rows), default=None),
    )


def _revision_line(revision: PackRevision) -> RevisionLine:
    return RevisionLine(
        id=revision.pk,
        number=revision.number,
        rows=revision.row_count,
        warnings=len(revision.warnings),
        sha256=revision.sha256,
        imported_at=revision.created_at,
        imported_by=_name_of(revision),
    )


def _name_of(revision: PackRevision) -> str:
    return revision.imported_by.get_username() if revision.imported_by else ""


def _row_line(row: PackRow, parsed: ParsedPack) -> RowLine:
    lines = f"{row.first_line}–{row.last_line}" if row.last_line > row.first_line else f"{row.first_line}"
    return RowLine(
        number=row.index + 1,
        lines=lines if row.first_line else "",
        positive=row.positive_text,
        negative=row.negative_text,
        tags=tuple(
            [str(tag) for tag in (*row.positive_embeddings, *row.loras)]
            + [f"negative {tag}" for tag in row.negative_embeddings]
        ),
        warnings=tuple(_of_row(parsed.warnings, row)),
    )


def _of_row(warnings: Iterable[PackWarning], row: PackRow) -> Iterable[str]:
    for warning in warnings:
        at_line = warning.line is not None and row.first_line <= warning.line <= row.last_line
        if at_line or warning.row == row.index + 1:
            yield str(warning)
