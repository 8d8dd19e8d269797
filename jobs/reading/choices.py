"""What the filters of lists offer: short lists that cost the same however many jobs there are."""

from __future__ import annotations

from django.contrib.auth.models import User

from jobs.models import Job, PromptPack

#: So many of the newest jobs tell of those who queue without an account, as the command line does.
RECENT_JOBS = 2000


def pack_choices() -> tuple[str, ...]:
    """Names of all packs, sorted."""
    return tuple(PromptPack.objects.order_by("name").values_list("name", flat=True))


def user_choices() -> tuple[str, ...]:
    """Names of those who may have queued jobs, sorted: every account, and whoever queued some lately."""
    accounts = User.objects.values_list("username", flat=True)
    recent = Job.objects.order_by("-id").values_list("queued_by", flat=True)[:RECENT_JOBS]
    return tuple(sorted({*accounts, *recent} - {""}))
