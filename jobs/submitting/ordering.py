"""Many packs in one act: find them, plan and build all of them first, then import and queue together.

Each pack is read once and planned once. Storing is `importing` and `submission`; planning and building are
`jobs.building`.
"""

from __future__ import annotations

import hashlib
import os.path
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.utils.crypto import salted_hmac

from jobs.building.builder import Build, BuildOptions, build_planned
from jobs.building.plan import Plan, plan_build
from jobs.errors import ConflictError, NotFoundError, PackReadError, RecordProblem, RefusedError
from jobs.lifecycle import Priority, TruthPolicy
from jobs.models import PackOrigin, PackRevision, Submission
from jobs.packs.conversion import convert
from jobs.packs.formats import Format
from jobs.packs.names import shown_name
from jobs.packs.options import JsonScalar
from jobs.packs.pack import Pack, parse_pack, read_pack
from jobs.packs.picture_lists import pictures_instead
from jobs.packs.presets import Preset, preset_of, read_preset
from jobs.packs.sources import PACK_SUFFIXES, find_packs, path_of
from jobs.submitting.importing import current_revision, import_pack, other_kinds
from jobs.submitting.preflight import OnMissing, Preflight, preflight
from jobs.submitting.preflight_words import why_refused
from jobs.submitting.refusals import too_many, unknown_inputs
from jobs.submitting.submission import (
    BuiltPack,
    Submitted,
    find_submission,
    source_of,
    submit_packs,
)

#: Build seeds that a person may give: what the database's column holds, and no sign.
MAX_BUILD_SEED = 2**63 - 1

#: Drawn build seeds are small enough to be typed again.
DRAWN_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class FoundPacks:
    """The packs that names and paths stand for, in the order given, and what could not be found or read."""

    packs: tuple[Pack, ...]
    problems: tuple[RecordProblem, ...]


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """Every pack's plan, with the same options; `options.limit` bounds all of them together, in order."""

    options: BuildOptions
    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class PackOrder:
    """Every pack as built; nothing is stored yet. A pack with problems has no records."""

    builds: tuple[Build, ...]
    problems: tuple[RecordProblem, ...]

    @property
    def good(self) -> tuple[Build, ...]:
        return tuple(made for made in self.builds if made.records)

    @property
    def job_count(self) -> int:
        return sum(len(made.records) for made in self.builds)

    @property
    def image_count(self) -> int:
        return sum(record.image_count for made in self.builds for record in made.records)


def find(names_or_paths: Sequence[str]) -> FoundPacks:
    """Packs by name (imported ones) or by path (a file, or a folder of packs); each pack counts once."""
    packs: dict[str, Pack] = {}
    problems: list[RecordProblem] = []
    for text in names_or_paths:
        found, wrong = _find_one(text)
        problems += wrong
        for pack in found:
            name = pack.source.pack_id
            if packs.setdefault(name, pack).source != pack.source:
                message = f"Two different packs are called {name}; submit one, or rename its file."
                problems.append(RecordProblem(code="ambiguous", message=message, pack=name))
    return FoundPacks(tuple(packs.values()), tuple(problems))


def find_files(
    paths: Sequence[str], to: Format | None = None
) -> tuple[FoundPacks, dict[str, tuple[str, ...]]]:
    """Packs by path only, and what of their files is not in them, by pack: texts of another format are made packs."""
    packs: dict[str, Pack] = {}
    problems: list[RecordProblem] = []
    notes: dict[str, tuple[str, ...]] = {}
    for text in paths:
        found, wrong = _read(text)
        for pack in found:
            try:
                made = convert(pack.source, to) if to else None
            except PackReadError as exc:
                name = pack.source.pack_id
                wrong.append(RecordProblem(code="unreadable", message=str(exc), pack=name))
                continue
            name = pack.source.pack_id
            kept = packs.setdefault(name, parse_pack(made.source) if made else pack)
            if kept.source != (made.source if made else pack.source):
                message = f"Two different packs are called {name}; import one, or rename its file."
                wrong.append(RecordProblem(code="ambiguous", message=message, pack=name))
            notes[name] = made.notes if made else ()
        problems += wrong
    return FoundPacks(tuple(packs.values()), tuple(problems)), notes


def _find_one(text: str) -> tuple[list[Pack], list[RecordProblem]]:
    if "/" in text or Path(text).suffix.lower() in PACK_SUFFIXES:
        return _read(text)
    try:
        return [parse_pack(source_of(current_revision(text)))], []
    except NotFoundError:
        if os.path.exists(os.path.expanduser(text)):
            return _read(text)
        message = (
            f"There is no pack {text!r} and no file or folder of that name. `import_pack PATH` adds packs."
        )
        return [], [RecordProblem(code="unknown_pack", message=message, pack=text)]


def _read(text: str) -> tuple[list[Pack], list[RecordProblem]]:
    try:
        path = path_of(text)
    except PackReadError as exc:
        return [], [RecordProblem(code="unreadable", message=str(exc), pack=shown_name(Path(text).stem))]
    files, unreadable = [], ""
    try:
        files = find_packs(path)
    except PackReadError as exc:
        unreadable = str(exc)
    are_texts = all(file.suffix.lower() != ".json" for file in files)
    if are_texts and (words := pictures_instead(path)):
        return [], [RecordProblem(code="pictures", message=words, pack=shown_name(path.stem))]
    if unreadable:
        return [], [RecordProblem(code="unreadable", message=unreadable, pack=path.stem)]
    packs, problems = [], []
    for file in files:
        try:
            packs.append(read_pack(file))
        except PackReadError as exc:
            problems.append(RecordProblem(code="unreadable", message=str(exc), pack=file.stem))
    return packs, problems


def find_preset(name_or_path: str) -> Preset:
    """A preset by path (a `.json` file), or the settings of an imported pack by its name.

    Raises `NotFoundError`, and `PackReadError` for what holds no settings.
    """
    if "/" in name_or_path or Path(name_or_path).suffix.lower() == ".json":
        return read_preset(path_of(name_or_path))
    return preset_of(name_or_path, current_revision(name_or_path).document)


def order_options(
    *,
    rows: tuple[int, ...] | None,
    overrides: Mapping[str, JsonScalar],
    matrix: Mapping[str, tuple[str, ...]],
    repeat: int,
    limit: int | None,
    seed: int | None,
    run_now: bool,
    key: str | None = None,
    sweeps: Mapping[str, tuple[JsonScalar, ...]] | None = None,
    preset: Preset | None = None,
    skip_unfilled: bool = False,
    strict: bool = False,
) -> BuildOptions:
    """What a person asked for, completed by the settings.

    Raises pydantic's ValidationError for what no record can hold, like bytes that are no text.
    """
    return BuildOptions(
        build_seed=build_seed_for(seed, key),
        rows=rows,
        overrides=dict(overrides),
        matrix=dict(matrix),
        sweeps=dict(sweeps or {}),
        preset=preset.document if preset is not None else "",
        repeat=repeat,
        limit=limit,
        max_records=settings.STABLENEW_MAX_RECORDS,
        global_positive=settings.STABLENEW_GLOBAL_POSITIVE,
        global_negative=settings.STABLENEW_GLOBAL_NEGATIVE,
        queue_source="RUN_NOW" if run_now else "ADD_TO_QUEUE",
        skip_unfilled=skip_unfilled,
        strict=strict,
    )


def next_build_seed() -> int:
    """The seed of the next submission that names none: the same until something is submitted, then another one.

    So what a dry run shows is what the submission right after it makes. A database that is not ready gives none.
    """
    try:
        last = Submission.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    except DatabaseError:
        return secrets.randbelow(DRAWN_SEEDS)
    return int.from_bytes(salted_hmac("stablenew.build-seed", str(last)).digest()[:4], "big")


def build_seed_for(seed: int | None, key: str | None) -> int:
    """The seed asked for; else one that belongs to the key, so that a repeated command is the same request."""
    if seed is not None:
        return seed
    if key is not None:
        return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:4], "big")
    return next_build_seed()


def plan_order(packs: Sequence[Pack], options: BuildOptions) -> OrderPlan:
    """Plan every pack with the same options, once: an order is counted, previewed and built from this."""
    return OrderPlan(options, tuple(plan_build(pack, options) for pack in packs))


def build_order(order: OrderPlan) -> PackOrder:
    """Build every pack. The whole is counted first: too many records are refused without making one."""
    problems = _too_much(order)
    builds: list[Build] = []
    left = order.options.limit
    for plan in () if problems else order.plans:
        # A pack behind the limit is still judged, with one record that is then dropped.
        made = build_planned(plan.limited(left if left is None else max(left, 1)))
        if left is not None:
            made = made if left else replace(made, records=(), canonical=(), hashes=())
            left -= len(made.records)
        builds.append(made)
        problems += made.problems
    return PackOrder(tuple(builds), tuple(problems))


def _too_much(order: OrderPlan) -> list[RecordProblem]:
    """Why this is too much for one submission: the packs that are so alone, or else the sum."""
    options = order.options
    everything = sum(plan.counts.all_records for plan in order.plans)
    total = min(everything, options.limit or everything)
    if total <= options.max_records:
        return []
    alone = [plan for plan in order.plans if plan.counts.all_records > options.max_records]
    return [problem for plan in alone for problem in plan.problems] or too_many(total)


def place(
    builds: Sequence[Build],
    *,
    priority: Priority = Priority.NORMAL,
    run_now: bool = False,
    key: str | None = None,
    user: User | None = None,
    truth: TruthPolicy | None = None,
    on_missing: OnMissing = OnMissing.STOP,
    found: Preflight | None = None,
    origin: PackOrigin = PackOrigin.FILE,
) -> Submitted:
    """Import what is new among these packs and queue all their records, as `submit_packs` does.

    `origin` is that of packs that are new. Raises `RefusedError` and `ConflictError` as `submit_packs` does, before
    anything is imported.
    """
    earlier = find_submission(key) if key is not None else None
    if key is not None and earlier is not None:
        _expect_same_packs(earlier.pk, key, builds)
    refused = [problem for made in builds for problem in made.problems]
    refused += other_kinds([made.source for made in builds])
    refused += too_many(sum(len(made.records) for made in builds))
    refused += unknown_inputs(record for made in builds for record in made.records)
    if found is None and earlier is None:
        found = preflight([record for made in builds for record in made.records])
    if found is not None and earlier is None:
        refused += why_refused(found, on_missing)
    if refused:
        raise RefusedError(refused)
    packs = [
        BuiltPack(import_pack(made.plan.pack, user=user, origin=origin).revision, made) for made in builds
    ]
    return submit_packs(
        packs,
        priority=priority,
        run_now=run_now,
        key=key,
        user=user,
        truth=truth,
        on_missing=on_missing,
        found=found,
    )


def _expect_same_packs(submission_id: int, key: str, builds: Sequence[Build]) -> None:
    """A key that was used for other packs conflicts; that must be known before they are imported."""
    stored = set(PackRevision.objects.filter(submissions=submission_id).values_list("pack__name", "sha256"))
    if stored != {(made.source.pack_id, made.source.sha256) for made in builds}:
        raise ConflictError(f"The key {key!r} already made submission {submission_id} from other packs.")
