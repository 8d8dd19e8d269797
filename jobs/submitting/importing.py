"""Import a pack: its content becomes the pack's current revision, whether new or known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max

from jobs.building.plan import author_warnings
from jobs.errors import NotFoundError, RecordProblem, RefusedError
from jobs.models import PackOrigin, PackRevision, PromptPack
from jobs.packs.findings import PackWarning
from jobs.packs.kinds import WORDS_OF_KIND
from jobs.packs.names import other_spellings
from jobs.packs.pack import Pack
from jobs.packs.sources import PackSource
from jobs.queue.control import touch
from webui.typed_command import typed

MAX_TITLE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Imported:
    """A stored revision; `created` is False when the pack already had this content."""

    revision: PackRevision
    pack: Pack
    warnings: tuple[PackWarning, ...]
    created: bool


def import_pack(pack: Pack, *, user: User | None = None, origin: PackOrigin = PackOrigin.FILE) -> Imported:
    """Store a pack's content as its current revision. A readable pack warns, and is refused in one case alone:

    raises `RefusedError` where a pack of that name makes something else, because a pack keeps its kind.
    """
    (imported,) = import_packs([pack], user=user, origin=origin)
    return imported


def import_packs(
    packs: Sequence[Pack], *, user: User | None = None, origin: PackOrigin = PackOrigin.FILE
) -> list[Imported]:
    """Store several packs, all or none. What takes as long as the packs are large is done before the transaction.

    Raises `RefusedError` as `import_pack` does.
    """
    read = [_Read(pack, pack.source.sha256, author_warnings(pack)) for pack in packs]
    with transaction.atomic():
        kept = [_kept(one.pack.source, origin) for one in read]
        if wrong := _of_another_kind(zip(kept, (one.pack.source.kind for one in read), strict=True)):
            raise RefusedError(wrong)
        imported = [_store(one, pack, user, origin) for one, pack in zip(read, kept, strict=True)]
        touch()
    return imported


@dataclass(frozen=True, slots=True)
class _Read:
    """A pack and what storing it needs of it."""

    pack: Pack
    sha256: str
    warnings: tuple[PackWarning, ...]


def other_kinds(sources: Sequence[PackSource]) -> list[RecordProblem]:
    """Packs whose name another kind of pack has; their files must be renamed."""
    kinds = {source.pack_id: source.kind for source in sources}
    stored = PromptPack.objects.filter(name__in=kinds).only("name", "kind")
    return _of_another_kind((pack, kinds[pack.name]) for pack in stored)


def _of_another_kind(given: Iterable[tuple[PromptPack, str]]) -> list[RecordProblem]:
    """Of stored packs, each with the kind of the one that is given under its name."""
    return [
        RecordProblem(
            code="other_kind",
            message=(
                f"Pack {pack.name} is there already and makes {WORDS_OF_KIND[pack.kind]}; this one makes "
                f"{WORDS_OF_KIND[kind]}. Rename its file."
            ),
            pack=pack.name,
        )
        for pack, kind in sorted(given, key=lambda one: one[0].name)
        if pack.kind != kind
    ]


def _kept(source: PackSource, origin: PackOrigin) -> PromptPack:
    """The pack of that name, locked; it may be of another kind."""
    stored, _ = PromptPack.objects.select_for_update().get_or_create(
        name=source.pack_id, defaults={"kind": source.kind, "origin": origin}
    )
    return stored


def _store(read: _Read, stored: PromptPack, user: User | None, origin: PackOrigin) -> Imported:
    pack, source = read.pack, read.pack.source
    revision = stored.revisions.filter(sha256=read.sha256).first()
    created = revision is None
    if revision is None:
        last = stored.revisions.aggregate(last=Max("number"))["last"] or 0
        revision = PackRevision.objects.create(
            pack=stored,
            number=last + 1,
            text=source.text,
            document=source.document,
            sha256=read.sha256,
            row_count=len(pack.rows),
            warnings=[warning.model_dump(mode="json") for warning in read.warnings],
            imported_by=user,
        )
    stored.current = revision
    stored.title = pack.title[:MAX_TITLE_CHARS]
    if origin == PackOrigin.FILE:
        # Whoever exports the pack of a form and imports its files wants to see it among the packs.
        stored.origin = origin
    stored.save(update_fields=("current", "title", "origin"))
    return Imported(revision, pack, read.warnings, created)


def current_revision(name: str) -> PackRevision:
    """The revision that a submission of this pack uses; `NotFoundError` names what is missing."""
    packs = PromptPack.objects.select_related("current__pack")
    pack = packs.filter(name=name).first() or packs.filter(name__in=other_spellings(name)).first()
    if pack is None or pack.current is None:
        raise NotFoundError(f"There is no pack {name!r}. Import it first: {typed('import_pack PATH')}.")
    return pack.current
