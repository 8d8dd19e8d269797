"""The pictures that somebody chose for films or edits: files that were given, and results of jobs.

A form names each by a token: the SHA-256 of one that is kept, or `result-12` for a result, which becomes an input only
when it is submitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from django.db.models import Exists, OuterRef, QuerySet

from jobs.errors import InputRefusedError, RecordProblem, RefusedError
from jobs.inputs import store
from jobs.inputs.facts import refuse_size
from jobs.inputs.store import ASKED_AT_ONCE, finished_pictures
from jobs.lifecycle import JobStatus
from jobs.models import InputPicture, Job, OutputImage
from jobs.packs.rows import RowImage
from jobs.queue.filters import JobFilter
from jobs.queue.search import LATEST_END, search_finished, step

MAX_PICTURES: Final = 1_000
"""Of one form."""
_RESULT: Final = re.compile(r"result-([0-9]{1,18})")
_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ChosenPicture:
    """One of them. `output_id` and `job_id` are those of a result, else None."""

    token: str
    image: RowImage
    size_bytes: int
    output_id: int | None = None
    job_id: int | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """All of them in their order, and what is wrong with the choice."""

    pictures: tuple[ChosenPicture, ...] = ()
    problems: tuple[str, ...] = ()


def token_of(output_id: int) -> str:
    return f"result-{output_id}"


def chosen_pictures(tokens: Sequence[str]) -> Chosen:
    """The pictures that these tokens name; each counts once."""
    wanted = list(dict.fromkeys(tokens))
    problems: list[str] = []
    if len(wanted) > MAX_PICTURES:
        problems.append(
            f"Pictures: {len(wanted):,} are more than the {MAX_PICTURES:,} that one form takes. Leave some out."
        )
        wanted = wanted[:MAX_PICTURES]
    results = {int(match[1]) for token in wanted if (match := _RESULT.fullmatch(token))}
    found = {one.token: one for one in (*_kept(filter(_SHA256.fullmatch, wanted)), *_results(results))}
    unknown = len([token for token in wanted if token not in found])
    if unknown:
        what = "One of the pictures is" if unknown == 1 else f"{unknown:,} of the pictures are"
        problems.append(f"{what} not known, or no finished job's result. Choose again.")
    pictures = tuple(found[token] for token in wanted if token in found)
    problems += [words for one in pictures if (words := _too_large(one))]
    return Chosen(pictures, tuple(problems))


def keep_results(pictures: Iterable[ChosenPicture], *, by: str) -> None:
    """Make inputs of those that are results. Nothing is copied.

    Raises `RefusedError` with every one that cannot be one.
    """
    wanted = {one.output_id for one in pictures if one.output_id is not None}
    problems: list[RecordProblem] = []
    for outputs in _by_ids(OutputImage.objects.order_by("id"), wanted):
        refused = store.keep_results(outputs, by=by)
        problems += [RecordProblem(code="picture", message=str(one), field="images") for one in refused]
    if problems:
        raise RefusedError(problems)


def accepted_results() -> QuerySet[OutputImage]:
    """Pictures that a finished job was for: those of its last stage. Films are none."""
    later = OutputImage.objects.filter(
        job=OuterRef("job"), take=OuterRef("take"), stage_index__gt=OuterRef("stage_index")
    )
    return finished_pictures().filter(~Exists(later)).order_by("job_id", "image_index")


def of_jobs(jobs: Iterable[int], most: int = MAX_PICTURES) -> list[str]:
    """Tokens of the results of these jobs in their order; one more than `most` says that there are more."""
    tokens: list[str] = []
    left = list(dict.fromkeys(jobs))
    while left and len(tokens) <= most:
        asked, left = left[:ASKED_AT_ONCE], left[ASKED_AT_ONCE:]
        rows = accepted_results().filter(job__in=asked).values_list("job_id", "pk")
        places = {job_id: place for place, job_id in enumerate(asked)}
        tokens += [token_of(pk) for _, pk in sorted(rows, key=lambda row: places[row[0]])]
    return tokens[: most + 1]


def of_filter(chosen: JobFilter, most: int = MAX_PICTURES) -> list[str]:
    """The same of all finished jobs that match, the latest first."""
    search, after, tokens = search_finished(chosen), "", list[str]()
    while len(tokens) <= most:
        found = step(search, LATEST_END, after, ASKED_AT_ONCE)
        tokens += of_jobs([job.pk for job in found.jobs], most)
        after = found.after
        if not after:
            break
    return tokens[: most + 1]


def of_submission(jobs: QuerySet[Job], most: int = MAX_PICTURES) -> list[str]:
    """The same of the jobs of a submission, in order."""
    rows = accepted_results().filter(job__in=jobs.filter(status=JobStatus.COMPLETED).values("pk"))
    return [token_of(pk) for pk in rows.values_list("pk", flat=True)[: most + 1]]


def _kept(hashes: Iterable[str]) -> Iterator[ChosenPicture]:
    left = list(hashes)
    while left:
        asked, left = left[:ASKED_AT_ONCE], left[ASKED_AT_ONCE:]
        for row in InputPicture.objects.filter(sha256__in=asked):
            image = RowImage(row.sha256, row.name, row.width_px, row.height_px)
            yield ChosenPicture(row.sha256, image, row.size_bytes)


def _results(ids: Iterable[int]) -> Iterator[ChosenPicture]:
    for row in chain.from_iterable(_by_ids(finished_pictures(), ids)):
        name = f"Job {row.job_id}, picture {row.image_index + 1}"
        image = RowImage(row.sha256, name, row.width_px, row.height_px)
        yield ChosenPicture(token_of(row.pk), image, row.size_bytes, row.pk, row.job_id)


def _by_ids(rows: QuerySet[OutputImage], ids: Iterable[int]) -> Iterator[list[OutputImage]]:
    """As many at a time as one query takes."""
    left = sorted(ids)
    while left:
        asked, left = left[:ASKED_AT_ONCE], left[ASKED_AT_ONCE:]
        yield list(rows.filter(pk__in=asked))


def _too_large(picture: ChosenPicture) -> str:
    try:
        refuse_size(picture.size_bytes, picture.image.name)
    except InputRefusedError as exc:
        return str(exc)
    return ""
