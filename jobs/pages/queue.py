"""The home page: its poll, its list with filters and pages, and the pause switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import push_url, trigger_client_event

from jobs.bulk import acts
from jobs.bulk.words import progress_of
from jobs.lifecycle import JobStatus, Priority
from jobs.pages.permissions import may_operate, operators_only
from jobs.pages.shared_answers import shared, shared_page
from jobs.queue import control
from jobs.queue.filters import JobFilter
from jobs.queue.fitness import want_lists
from jobs.reading.choices import kind_choices, pack_choices, user_choices
from jobs.reading.lists import JobPage, history, queued
from jobs.reading.live import Live, LiveVersion, live, live_version
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.return_address import return_address
from webui.pages.sent import plain
from webui.words import listed

#: Characters of a reason that somebody gives.
MAX_REASON_CHARS = 300
#: Pictures of the last completed jobs that the page shows.
RECENT = 8
#: What people filter the queue by; the other fields of a filter say nothing about waiting jobs.
FILTERS = ("kind", "pack", "checkpoint", "text", "user")
#: Value and word of each priority, as forms carry them.
PRIORITIES = tuple((str(priority.value), priority.label) for priority in Priority)


@dataclass(frozen=True, slots=True)
class QueueList:
    """One page of the queue as the address asks for it, at one version of the queue."""

    version: int
    chosen: JobFilter
    page: JobPage
    after: str
    """Key of the page; empty for the first."""

    @property
    def state(self) -> dict[str, str]:
        """What the poll sends along, so that it gets this very list again."""
        return self.chosen.query() | ({"after": self.after} if self.after else {})

    @property
    def address(self) -> str:
        """Query string of this page."""
        return urlencode(self.state)

    @property
    def first_address(self) -> str:
        return urlencode(self.chosen.query())

    @property
    def next_address(self) -> str:
        """Query string of the next page, empty on the last."""
        return urlencode(self.chosen.query() | {"after": self.page.after}) if self.page.after else ""


@require_safe
def queue(request: HtmxHttpRequest) -> HttpResponse:
    """The page, or its list alone where a filter or a link to a further page asks for it."""
    version, now = _now(live_version())
    context = _live_context(request, version, now) | _list_context(request, version)
    if request.htmx.target == "lists":
        answer = render(request, "jobs/_lists.html", context)
        if request.htmx.trigger == "filters":
            # Without the fields that were left empty, the address is one to pass on.
            shown: QueueList = context["queue"]
            push_url(answer, f"{reverse('queue')}?{shown.address}" if shown.address else reverse("queue"))
    else:
        kinds = kind_choices(context["queue"].chosen.kind)
        context |= {"kinds": kinds, "packs": pack_choices(), "users": user_choices()} | _recent_context()
        answer = render(request, "jobs/queue.html", context)
    # One address, two answers: a browser that goes back must not show the fragment as the page.
    patch_vary_headers(answer, ["HX-Target"])
    return answer


@require_safe
def queue_live(request: HttpRequest) -> HttpResponse:
    """What changed since `version`; 204 when nothing did.

    The list comes with it only if the shown one (`lists`) is old and nobody works in it (`held`), the latest
    pictures only if another job has completed since (`recent`).
    """
    version = live_version()
    shown = request.GET.get("version", "")
    with_lists = request.GET.get("lists") != str(version.control) and "lists" not in request.GET.getlist(
        "held"
    )
    if not with_lists and shown == str(version):
        return HttpResponse(status=204)
    version, now = _now(version)
    if not with_lists and shown == str(version):
        return HttpResponse(status=204)
    with_control = shown.partition(".")[0] != str(version.control)
    with_recent = request.GET.get("recent") != str(now.ledger.completed)

    def context() -> dict[str, Any]:
        found = _live_context(request, version, now) | {"with_control": with_control}
        if with_lists:
            found |= _list_context(request, version) | {"with_lists": True}
        if with_recent:
            found |= _recent_context() | {"with_recent": True}
        return found

    parts = (with_control, with_recent, _list_asked(request) if with_lists else None)
    answer = shared_page(request, "jobs/queue_live.html", (version, may_operate(request), *parts), context)
    if request.GET.get("failures") != now.failures_version:
        trigger_client_event(answer, "failures")
    return answer


def _now(version: LiveVersion) -> tuple[LiveVersion, Live]:
    """What is shown at this version, or at one with the same but for progress, which moves several times a second."""
    return shared(("live", version.but_for_progress), lambda: (version, live()))


def _live_context(request: HttpRequest, version: LiveVersion, now: Live) -> dict[str, Any]:
    return {
        "live": now,
        "version": version,
        "may_operate": may_operate(request),
        "unfinished": [progress_of(act) for act in acts.unfinished()],
    }


def _list_asked(request: HttpRequest) -> tuple[JobFilter, str]:
    """Which part of the queue the address asks for."""
    asked = {name: request.GET[name] for name in FILTERS if request.GET.get(name)}
    return JobFilter.from_query(asked), request.GET.get("after", "")[:80]


def _list_context(request: HttpRequest, version: LiveVersion) -> dict[str, Any]:
    chosen, after = _list_asked(request)
    shown = QueueList(version.control, chosen, queued(chosen, after), after)
    return {"queue": shown, "priorities": PRIORITIES}


def _recent_context() -> dict[str, Any]:
    return {"recent": history(JobFilter(status=JobStatus.COMPLETED), size=RECENT).lines}


@require_POST
@operators_only
def queue_pause(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username()
    if control.pause(by=name, reason=plain(request.POST.get("reason", ""), MAX_REASON_CHARS)):
        messages.success(request, "The queue is paused: no job starts. A running job goes on to its end.")
    else:
        messages.info(request, "The queue was paused already.")
    return redirect("queue")


@require_POST
@operators_only
def queue_resume(request: HttpRequest) -> HttpResponse:
    if control.resume(by=request.user.get_username()):
        messages.success(request, "The queue goes on.")
    else:
        messages.info(request, "The queue was not paused.")
    return redirect("queue")


@require_POST
@operators_only
def lists_refresh(request: HttpRequest) -> HttpResponse:
    """Read again what the nodes have that lack something: whoever added it need not wait."""
    nodes = want_lists(request.user.get_username())
    if nodes:
        messages.success(
            request, f"The lists of {listed(nodes)} are read again as soon as nothing runs there."
        )
    else:
        messages.info(request, "No node lacks anything that waits.")
    return redirect(return_address(request, reverse("queue")))
