"""The only way into the queue: frozen records, proved to come from the builder, all or nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from jobs.building.builder import Build, BuildOptions, PackSource, build
from jobs.errors import ConflictError, RecordProblem, RefusedError
from jobs.lifecycle import Priority, TruthPolicy
from jobs.models import Job, JobRecord, PackRevision, Submission
from jobs.queue.enqueue import INSERT_ROWS, collector_paused, insert_jobs
from jobs.queue.fitness import recompute_changed, store_needs, write_lacks
from jobs.queue.summary import facts_of
from jobs.queue.wakeup import kick_all
from jobs.records.base import canonical_json, sha256_text
from jobs.records.checks import validate_record
from jobs.records.needs import Needs
from jobs.records.reading import RECORD_TYPES, AnyRecord
from jobs.submitting.input_links import link_inputs
from jobs.submitting.preflight import OnMissing, Preflight, preflight
from jobs.submitting.preflight_words import why_refused
from jobs.submitting.refusals import refuse, too_many

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuiltPack:
    """A stored revision and what the builder made of it."""

    revision: PackRevision
    build: Build


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one submission queued; `created` is False when its key had been used before."""

    submission: Submission
    job_ids: tuple[int, ...]
    record_hashes: tuple[str, ...]
    created: bool


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the builder makes of a pack that hand-made records claim to come from."""

    pack: BuiltPack
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Draft:
    """One record on its way in."""

    revision: PackRevision
    record: AnyRecord
    canonical: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where it goes in the queue, who asked, and what becomes of pictures that are not as asked."""

    priority: Priority
    run_now: bool
    key: str | None
    user: User | None
    truth: TruthPolicy | None


def submit_packs(
    packs: Sequence[BuiltPack],
    *,
    priority: Priority = Priority.NORMAL,
    run_now: bool = False,
    key: str | None = None,
    user: User | None = None,
    truth: TruthPolicy | None = None,
    on_missing: OnMissing = OnMissing.STOP,
    found: Preflight | None = None,
) -> Submitted:
    """Queue everything that the builder made of these packs, in order, in one transaction.

    `truth` is what becomes of pictures that are not as asked (default: as the installation is set), `on_missing` what
    becomes of records that no node can run; `found` is the check of these very records, where it was made already.
    Raises `RefusedError` with every problem of every pack (nothing is queued then) and `ConflictError` when the key was
    used for something else.
    """
    problems = [problem for pack in packs for problem in pack.build.problems]
    drafts = [
        _Draft(pack.revision, record, canonical, sha256)
        for pack in packs
        for record, canonical, sha256 in zip(
            pack.build.records, pack.build.canonical, pack.build.hashes, strict=True
        )
    ]
    problems += too_many(len(drafts))
    refuse(problems, [draft.record for draft in drafts])
    request = [_request_of(pack) for pack in packs]
    place = _Place(priority, run_now, key, user, truth)
    return _store(drafts, request, place, on_missing=on_missing, found=found)


def submit_jobs(
    records: Sequence[AnyRecord],
    *,
    options: BuildOptions,
    priority: Priority = Priority.NORMAL,
    run_now: bool = False,
    key: str | None = None,
    user: User | None = None,
    truth: TruthPolicy | None = None,
    on_missing: OnMissing = OnMissing.STOP,
) -> Submitted:
    """Queue records that somebody else built, after proving each by building its pack again.

    `options` are the build options that made them. Raises `RefusedError` with a problem per record
    that is no record, incomplete, out of range, of an unknown revision or row, or that the builder
    does not make (a bypassed builder), and for what no node can run (`on_missing`). All or nothing.
    """
    problems = too_many(len(records))
    drafts: list[_Draft] = []
    proofs: dict[tuple[str, str], _Proof] = {}
    for index, record in enumerate(records):
        found, draft = _prove(index, record, options, proofs)
        problems += found
        if draft is not None:
            drafts.append(draft)
    refuse(problems, [draft.record for draft in drafts])
    request = [_request_of(proof.pack) for proof in proofs.values()]
    place = _Place(priority, run_now, key, user, truth)
    return _store(drafts, request, place, on_missing=on_missing)


def find_submission(key: str) -> Submission | None:
    """The submission that this idempotency key made, if any."""
    return Submission.objects.filter(key=key).first()


def _prove(
    index: int,
    record: object,
    options: BuildOptions,
    proofs: dict[tuple[str, str], _Proof],
) -> tuple[list[RecordProblem], _Draft | None]:
    where = f"Record {index + 1}"
    if not isinstance(record, RECORD_TYPES):
        message = (
            f"{where} is a {type(record).__name__}, not a NormalizedJobRecord. Build it from a prompt pack."
        )
        return [RecordProblem(code="not_a_record", message=message)], None
    problems = validate_record(record)
    if problems:
        return list(problems), None
    content = (record.prompt_pack_id, record.pack_revision)
    if content not in proofs:
        name, sha256 = content
        revision = PackRevision.objects.filter(pack__name=name, sha256=sha256).select_related("pack").first()
        if revision is None:
            message = f"{where}: pack {name!r} has no such revision. Import the pack first."
            return [RecordProblem(code="unknown_revision", message=message, pack=name)], None
        made = build(source_of(revision), options)
        proofs[content] = _Proof(BuiltPack(revision, made), frozenset(made.hashes))
    proof = proofs[content]
    revision = proof.pack.revision
    if record.prompt_pack_row_index >= revision.row_count:
        message = f"{where}: {record.prompt_pack_id} has no row {record.prompt_pack_row_index + 1}."
        return [RecordProblem(code="unknown_row", message=message, pack=record.prompt_pack_id)], None
    canonical = canonical_json(record)
    sha256 = sha256_text(canonical)
    if sha256 not in proof.hashes:
        message = (
            f"{where} is not what the builder makes of {record.prompt_pack_id} with these options "
            "(bypassed builder). Submit the pack, not a hand-made record."
        )
        return [RecordProblem(code="bypassed_builder", message=message, pack=record.prompt_pack_id)], None
    return [], _Draft(revision, record, canonical, sha256)


def source_of(revision: PackRevision) -> PackSource:
    return PackSource(revision.pack.name, revision.text, revision.document, revision.pack.kind)


def _request_of(pack: BuiltPack) -> dict[str, Any]:
    return {
        "pack": pack.revision.pack.name,
        "revision": pack.revision.sha256,
        "options": pack.build.options.model_dump(mode="json"),
    }


def _store(
    drafts: Sequence[_Draft],
    request: list[dict[str, Any]],
    place: _Place,
    *,
    on_missing: OnMissing,
    found: Preflight | None = None,
) -> Submitted:
    key = place.key
    if key is not None and (earlier := find_submission(key)) is not None:
        return _already(earlier, request)
    if found is None:
        found = preflight([draft.record for draft in drafts])
    drafts, needed = _decide(drafts, found, on_missing)
    try:
        with collector_paused():
            facts = [facts_of(draft.canonical) for draft in drafts]
            with transaction.atomic(durable=True):
                submission = _insert(drafts, request, facts, place, found, needed)
    except IntegrityError:
        # The same key at the same moment: the other one is in now.
        earlier = find_submission(key) if key is not None else None
        if earlier is None:
            raise
        return _already(earlier, request)
    if needed is not None:
        recompute_changed(found.servers)
    kick_all()
    logger.info(
        "Submission %s queued %s jobs.",
        submission.pk,
        submission.job_count,
        extra={"event": "submission.queued", "submission_id": submission.pk},
    )
    return _result(submission, created=True)


def _decide(
    drafts: Sequence[_Draft], found: Preflight, on_missing: OnMissing
) -> tuple[Sequence[_Draft], Sequence[Needs] | None]:
    """What is queued, and what each needs; None where all shall run whatever nodes lack. Raises `RefusedError`."""
    if refused := why_refused(found, on_missing):
        raise RefusedError(refused)
    if on_missing is OnMissing.ANYWAY:
        return drafts, None
    kept = [place for place in range(len(drafts)) if place not in found.held]
    return [drafts[place] for place in kept], [found.needs[place] for place in kept]


def _insert(
    drafts: Sequence[_Draft],
    request: list[dict[str, Any]],
    facts: Sequence[Mapping[str, Any]],
    place: _Place,
    found: Preflight,
    needed: Sequence[Needs] | None,
) -> Submission:
    user = place.user
    submission = Submission.objects.create(
        key=place.key,
        build_seed=drafts[0].record.randomization.build_seed,
        options=request,
        job_count=len(drafts),
        image_count=sum(draft.record.images_per_prompt for draft in drafts),
        runs_anyway=needed is None,
        submitted_by=user,
        truth_policy=place.truth or "",
    )
    submission.revisions.add(*{draft.revision.pk for draft in drafts})
    rows = (_record_row(draft, submission) for draft in drafts)
    records = JobRecord.objects.bulk_create(rows, batch_size=INSERT_ROWS)
    link_inputs(records, [draft.record for draft in drafts])
    insert_jobs(
        records,
        facts,
        priority=place.priority,
        run_now=place.run_now,
        by=user.get_username() if user is not None else "",
        data={"submission": submission.pk},
        needs=None if needed is None else _store_needs(needed, found),
        truth_policies=[submission.truth_policy] * len(records),
    )
    return submission


def _store_needs(needed: Sequence[Needs], found: Preflight) -> list[int]:
    """The set of needs of each record; what nodes lack of these sets is written with them."""
    ids = store_needs(needed)
    write_lacks(found.servers, {ids[one.sha256]: one for one in needed})
    return [ids[one.sha256] for one in needed]


def _record_row(draft: _Draft, submission: Submission) -> JobRecord:
    record = draft.record
    return JobRecord(
        submission_id=submission.pk,
        revision_id=draft.revision.pk,
        canonical_json=draft.canonical,
        sha256=draft.sha256,
        pack_name=record.prompt_pack_id,
        row_index=record.prompt_pack_row_index,
        checkpoint=record.base_model,
        sampler=record.sampler,
        seed=record.seed,
        width_px=record.width,
        height_px=record.height,
        image_count=record.images_per_prompt,
    )


def _already(earlier: Submission, request: list[dict[str, Any]]) -> Submitted:
    if earlier.options != request:
        raise ConflictError(
            f"The key {earlier.key!r} already made submission {earlier.pk} from another request."
        )
    return _result(earlier, created=False)


def _result(submission: Submission, *, created: bool) -> Submitted:
    rows = list(
        Job.objects.filter(record__submission=submission, rerun_of=None)
        .order_by("id")
        .values_list("id", "record__sha256")
    )
    return Submitted(
        submission=submission,
        job_ids=tuple(job_id for job_id, _ in rows),
        record_hashes=tuple(sha256 for _, sha256 in rows),
        created=created,
    )
