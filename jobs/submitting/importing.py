"""Import a pack: its content becomes the pack's current revision, whether new or known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max

from jobs.building.plan import author_warnings
from jobs.errors import NotFoundError
from jobs.models import PackRevision, PromptPack
from jobs.packs.findings import PackWarning
from jobs.packs.names import other_spellings
from jobs.packs.pack import Pack
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


def import_pack(pack: Pack, *, user: User | None = None) -> Imported:
    """Store a pack's content as its current revision. A readable pack is never refused; it warns."""
    (imported,) = import_packs([pack], user=user)
    return imported


def import_packs(packs: Sequence[Pack], *, user: User | None = None) -> list[Imported]:
    """Store several packs, all or none. What takes as long as the packs are large is done before the transaction."""
    read = [_Read(pack, pack.source.sha256, author_warnings(pack)) for pack in packs]
    with transaction.atomic():
        imported = [_store(one, user) for one in read]
        touch()
    return imported


@dataclass(frozen=True, slots=True)
class _Read:
    """A pack and what storing it needs of it."""

    pack: Pack
    sha256: str
    warnings: tuple[PackWarning, ...]


def _store(read: _Read, user: User | None) -> Imported:
    pack, source = read.pack, read.pack.source
    stored, _ = PromptPack.objects.select_for_update().get_or_create(name=source.pack_id)
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
    stored.save(update_fields=("current", "title"))
    return Imported(revision, pack, read.warnings, created)


def current_revision(name: str) -> PackRevision:
    """The revision that a submission of this pack uses; `NotFoundError` names what is missing."""
    packs = PromptPack.objects.select_related("current__pack")
    pack = packs.filter(name=name).first() or packs.filter(name__in=other_spellings(name)).first()
    if pack is None or pack.current is None:
        raise NotFoundError(f"There is no pack {name!r}. Import it first: {typed('import_pack PATH')}.")
    return pack.current
