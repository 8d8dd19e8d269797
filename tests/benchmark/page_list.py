"""Every page of the site with rows of the database at hand, for measurements and for tests of all pages.

Nothing here is measured; an address that has no row yet is left out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.test import Client
from django.urls import reverse

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, OutputImage, PackRevision, PromptPack, Submission
from jobs.queue.positions import waiting
from jobs.queue.search import IN_QUEUE, LATEST_END, NEWEST, JobOrder
from jobs.reading.live import live, live_version
from jobs.running.outputs import output_root
from webui.models import Node

PAGE_BUDGET_MS, POLL_BUDGET_MS = 50.0, 5.0
POLL = "poll, unchanged"
#: Different rows that stand for a kind of page, asked for in turns.
VARIANTS = 10
HTMX = {"HX-Request": "true"}


@dataclass(frozen=True, slots=True)
class Page:
    """One kind of page: its addresses, asked for in turns; `data` makes it a POST."""

    name: str
    addresses: tuple[str, ...]
    data: dict[str, str] | None = None
    fragment: bool = False
    in_admin: bool = False

    def ask(self, client: Client, number: int) -> Any:
        """The answer of one of the addresses."""
        address = self.addresses[number % len(self.addresses)]
        headers = HTMX if self.fragment else {}
        if self.data is not None:
            return client.post(address, self.data, headers=headers)
        return client.get(address, headers=headers)

    @property
    def budget_ms(self) -> float:
        return POLL_BUDGET_MS if self.name == POLL else PAGE_BUDGET_MS


def all_pages() -> list[Page]:
    """Every page of the site with rows of this database, as far as it has such rows."""
    chance = random.Random(1)
    found = [*_home(), *_queue(chance), *_history(chance), *_jobs(chance), *_pictures(), *_packs(), *_nodes()]
    return [page for page in [*found, *_failures()] if page.addresses]


def _address(name: str, query: dict[str, str] | None = None, **kwargs: int) -> str:
    return reverse(name, kwargs=kwargs or None) + (f"?{urlencode(query)}" if query else "")


def _page(
    name: str,
    view: str,
    query: dict[str, str] | None = None,
    *,
    fragment: bool = False,
    in_admin: bool = False,
) -> Page:
    return Page(name, (_address(view, query),), fragment=fragment, in_admin=in_admin)


def _home() -> list[Page]:
    version, now = live_version(), live()
    shown = {
        "version": str(version),
        "failures": now.failures_version,
        "lists": str(version.control),
        "recent": str(now.ledger.completed),
    }
    return [
        _page("queue (home)", "queue"),
        _page(POLL, "queue-live", shown, fragment=True),
        _page("poll, progress", "queue-live", shown | {"version": f"{version.control}.old"}, fragment=True),
        _page("poll, all of it", "queue-live", {"version": "old"}, fragment=True),
        _page("node strip", "node-strip", fragment=True),
        _page("needs attention", "failures", fragment=True),
    ]


def _queue(chance: random.Random) -> list[Page]:
    first = waiting().order_by("priority", "position", "id").first()
    if first is None:
        return []
    filters = {
        "pack": {"pack": first.pack_name},
        "checkpoint": {"checkpoint": first.checkpoint[:6]},
        "user": {"user": first.queued_by},
        "prompt": {"text": "fog"},
        "pack and prompt": {"pack": first.pack_name, "text": "fog"},
        "a prompt that none has": {"text": "no such words"},
        "a user that none has": {"user": "nobody"},
    }
    found = [_page(f"queue by {name}", "queue", query) for name, query in filters.items()]
    rows = waiting()
    deep = _keys(chance, rows.values_list("pk", flat=True).order_by("id"), IN_QUEUE)
    return [*found, Page("queue, deep page", tuple(_address("queue", {"after": key}) for key in deep))]


def _history(chance: random.Random) -> list[Page]:
    last = Job.objects.filter(status=JobStatus.COMPLETED).order_by("-finished_at").first()
    failed = Job.objects.filter(needs_attention=True).first()
    if last is None:
        return []
    filters = {
        **{status.lower(): {"status": str(status)} for status in (JobStatus.COMPLETED, JobStatus.FAILED)},
        "cancelled": {"status": str(JobStatus.CANCELLED)},
        "pack": {"pack": last.pack_name},
        "pack, failed": {"pack": last.pack_name, "status": str(JobStatus.FAILED)},
        "checkpoint": {"checkpoint": last.checkpoint},
        "user": {"user": last.queued_by},
        "prompt": {"text": "fog"},
        "a prompt that none has": {"text": "no such words"},
        "a user that none has": {"user": "nobody"},
        "attention": {"attention": "1"},
        "cause": {"cause": failed.error_code if failed else ""},
        "cause and attention": {"cause": failed.error_code if failed else "", "attention": "1"},
    }
    found = [_page("history", "history")]
    found += [_page(f"history by {name}", "history", query) for name, query in filters.items()]
    ended = Job.objects.exclude(finished_at=None)
    deep = _keys(chance, ended.order_by("id").values_list("pk", flat=True), LATEST_END)
    found.append(Page("history, deep page", tuple(_address("history", {"after": key}) for key in deep)))
    found.append(
        Page(
            "history by pack, deep page",
            tuple(_address("history", {"after": key, "pack": last.pack_name}) for key in deep),
        )
    )
    found.append(_page("history, anything new", "history-news", {"since": "0", "shown": "0"}, fragment=True))
    keys = _keys(chance, Job.objects.order_by("id").values_list("pk", flat=True), NEWEST)
    return [
        *found,
        _page("all jobs", "jobs"),
        Page("all jobs, deep page", tuple(_address("jobs", {"after": key}) for key in keys)),
    ]


def _keys(chance: random.Random, ids: Any, order: JobOrder) -> list[str]:
    """Keys of pages all over a list, by jobs that stand anywhere in it."""
    first, last = ids.first(), ids.last()
    if first is None:
        return []
    wanted = [chance.randint(first, last) for _ in range(VARIANTS)]
    rows = Job.objects.filter(pk__in=ids.filter(pk__in=wanted))
    return [order.key(job) for job in rows]


def _jobs(chance: random.Random) -> list[Page]:
    found = []
    for status in (
        JobStatus.RUNNING,
        JobStatus.QUEUED,
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
    ):
        ids = list(
            Job.objects.filter(status=status).order_by("-id").values_list("pk", flat=True)[: 50 * VARIANTS]
        )
        chosen = chance.sample(ids, min(VARIANTS, len(ids)))
        found.append(
            Page(f"job, {status.lower()}", tuple(_address("job", job_id=job_id) for job_id in chosen))
        )
        if status in (JobStatus.COMPLETED, JobStatus.FAILED):
            for name, view in (("account", "job-account"), ("exchanges", "job-exchanges")):
                addresses = tuple(_address(view, job_id=job_id) for job_id in chosen)
                found.append(Page(f"{name}, {status.lower()}", addresses))
    return found


def _pictures() -> list[Page]:
    newest = OutputImage.objects.order_by("-id")[:VARIANTS]
    viewer = tuple(_address("picture", output_id=row.pk) for row in newest)
    there = [row.pk for row in newest if (output_root() / row.path).is_file()]
    return [
        Page("picture", viewer),
        Page("picture among those by prompt", tuple(f"{address}?text=fog" for address in viewer)),
        Page("thumbnail, made before", tuple(_address("thumb", output_id=pk) for pk in there)),
        Page("picture file", tuple(_address("output", output_id=pk) for pk in there)),
    ]


def _packs() -> list[Page]:
    packs = list(PromptPack.objects.order_by("id").values_list("pk", flat=True)[:VARIANTS])
    revision = PackRevision.objects.order_by("-row_count").first()
    submissions = Submission.objects.order_by("-job_count").values_list("pk", flat=True)[:VARIANTS]
    found = [
        _page("packs", "packs"),
        Page("pack", tuple(_address("pack", pack_id=pk) for pk in packs)),
        Page("pack, differences", tuple(_address("pack-diff", pack_id=pk) for pk in packs)),
        Page("submission", tuple(_address("submission", submission_id=pk) for pk in submissions)),
    ]
    if revision is not None:
        data = {"revision": str(revision.pk), "repeat": "2", "seed": "1"}
        found.append(Page("dry run of the longest pack", (_address("pack-dry-run"),), data, fragment=True))
    return found


def _nodes() -> list[Page]:
    nodes = list(Node.objects.values_list("pk", flat=True)[:VARIANTS])
    return [
        _page("nodes", "nodes", in_admin=True),
        Page("node", tuple(_address("node", node_id=pk) for pk in nodes), in_admin=True),
        Page("node, what it has", tuple(_address("node-catalog", node_id=pk) for pk in nodes)),
        Page("node, its boots", tuple(_address("node-boots", node_id=pk) for pk in nodes)),
    ]


def _failures() -> list[Page]:
    admin = reverse("admin:diagnostics_failedjob_changelist")
    failed = list(
        Job.objects.filter(status=JobStatus.FAILED).order_by("-id").values_list("pk", flat=True)[:VARIANTS]
    )
    return [
        _page("failures", "failures"),
        _page("events", "events"),
        _page("events of one type", "events", {"type": str(EventType.CRASH_SUSPECTED)}),
        _page("events of a day", "events", {"since": "2020-01-01", "until": "2020-01-02"}),
        Page("evidence of a failure", tuple(_address("failure-artifacts", job_id=pk) for pk in failed)),
        Page("failure admin", (admin,), in_admin=True),
        Page("failure admin by node and pack", (f"{admin}?node=seeded-attic&pack=castles",), in_admin=True),
        Page(
            "failure in the admin",
            tuple(reverse("admin:diagnostics_failedjob_change", args=(pk,)) for pk in failed),
            in_admin=True,
        ),
    ]
