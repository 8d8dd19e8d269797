"""What the filters of lists offer: short lists that cost the same however many jobs there are."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Exists

from jobs.lifecycle import JobStatus
from jobs.models import Job, PackOrigin, PromptPack, QueueControl
from jobs.packs.kinds import WORDS_OF_KIND
from webui.kinds import WorkKind

#: So many of the newest jobs tell of those who queue without an account, as the command line does.
RECENT_JOBS = 2000


def pack_choices() -> tuple[str, ...]:
    """Names of all packs but those of forms, sorted."""
    packs = PromptPack.objects.exclude(origin=PackOrigin.FORM).order_by("name")
    return tuple(packs.values_list("name", flat=True))


def user_choices() -> tuple[str, ...]:
    """Names of those who may have queued jobs, sorted: every account, and whoever queued some lately."""
    accounts = User.objects.values_list("username", flat=True)
    recent = Job.objects.order_by("-id").values_list("queued_by", flat=True)[:RECENT_JOBS]
    return tuple(sorted({*accounts, *recent} - {""}))


def kind_choices(chosen: str = "") -> tuple[tuple[str, str], ...]:
    """Every kind that some job has, or that is chosen, with the word for what it makes; none where there is no choice.

    One query. All statuses are named, because the claim's index begins with them: of each a single row is looked for.
    """
    looks = (Exists(Job.objects.filter(status__in=JobStatus.values, kind=kind)) for kind in WorkKind)
    found = QueueControl.objects.values_list(*looks).get(pk=QueueControl.SINGLETON_ID)
    kinds = [kind.value for kind, there in zip(WorkKind, found, strict=True) if there or kind == chosen]
    if len(kinds) < 2 and not chosen:
        return ()
    return tuple((kind, WORDS_OF_KIND[kind].capitalize()) for kind in kinds)
