"""Import a pack: its content becomes the pack's current revision, whether new or known."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max

from jobs.building.builder import PackSource, ParsedPack, parse_pack
from jobs.errors import NotFoundError
from jobs.models import PackRevision, PromptPack
from jobs.queue.control import touch
from webui.typed_command import typed


@dataclass(frozen=True, slots=True)
class Imported:
    """A stored revision; `created` is False when the pack already had this content."""

    revision: PackRevision
    parsed: ParsedPack
    created: bool


def import_pack(source: PackSource, *, user: User | None = None) -> Imported:
    """Store a pack's content as its current revision. A readable pack is never refused; it warns."""
    parsed = parse_pack(source)
    with transaction.atomic():
        pack, _ = PromptPack.objects.select_for_update().get_or_create(name=source.pack_id)
        revision = pack.revisions.filter(sha256=source.sha256).first()
        created = revision is None
        if revision is None:
            last = pack.revisions.aggregate(last=Max("number"))["last"] or 0
            revision = PackRevision.objects.create(
                pack=pack,
                number=last + 1,
                text=source.text,
                document=source.document,
                sha256=source.sha256,
                row_count=len(parsed.rows),
                warnings=[warning.model_dump(mode="json") for warning in parsed.warnings],
                imported_by=user,
            )
        pack.current = revision
        pack.title = parsed.title
        pack.save(update_fields=("current", "title"))
        touch()
    return Imported(revision, parsed, created)


def current_revision(name: str) -> PackRevision:
    """The revision that a submission of this pack uses; `NotFoundError` names what is missing."""
    pack = PromptPack.objects.select_related("current__pack").filter(name=name).first()
    if pack is None or pack.current is None:
        raise NotFoundError(f"There is no pack {name!r}. Import it first: {typed('import_pack PATH')}.")
    return pack.current
