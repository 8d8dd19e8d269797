"""Whole lists, page by page: the history, all jobs; and how much came to a list since it was shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from jobs.lifecycle import TERMINAL, JobStatus, TruthVerdict
from jobs.models import QueueControl
from jobs.pages.permissions import may_operate
from jobs.queue.filters import JobFilter
from jobs.reading import lists
from jobs.reading.choices import kind_choices, pack_choices, user_choices
from webui.pages.sent import whole

#: Statuses that history knows, in the order of the life cycle.
ENDS = tuple(status for status in JobStatus if status in TERMINAL)


@dataclass(frozen=True, slots=True)
class FilterLink:
    """One of the ready filters above a list."""

    label: str
    query: str
    is_current: bool


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """Ended jobs that match the filter of the address."""
    chosen = _of_history(request)
    page = lists.history(chosen, request.GET.get("after", ""))
    context = _context(request, page, chosen) | {
        "chosen": chosen,
        "links": _links(chosen),
        "kinds": kind_choices(chosen.kind),
        "packs": pack_choices(),
        "users": user_choices(),
        "verdicts": TruthVerdict.choices,
        "shows_failures": bool(chosen.attention or chosen.cause or chosen.status == JobStatus.FAILED),
        "news": _news(chosen, shown=0, since=_counted(chosen)),
    }
    return render(request, "jobs/job_history.html", context)


@require_safe
def history_news(request: HttpRequest) -> HttpResponse:
    """How many jobs have ended since the list was made; 204 when the page says so already."""
    chosen = _of_history(request)
    since, shown = _number(request, "since"), _number(request, "shown")
    count = max(0, _counted(chosen) - since)
    if count == shown:
        return HttpResponse(status=204)
    return render(request, "jobs/_history_news.html", {"news": _news(chosen, shown=count, since=since)})


@require_safe
def everything(request: HttpRequest) -> HttpResponse:
    page = lists.everything(request.GET.get("after", ""))
    return render(request, "jobs/job_list.html", _context(request, page, JobFilter()))


@dataclass(frozen=True, slots=True)
class News:
    """`count` jobs have ended since; `poll` is the query of the next look, `query` that of the list."""

    count: int
    poll: str
    query: str
    is_exact: bool
    """All of them belong to the list."""


def _of_history(request: HttpRequest) -> JobFilter:
    """The filter of the address; a status that no ended job has is none."""
    chosen = JobFilter.from_query(request.GET)
    return chosen if chosen.status in ("", *ENDS) else replace(chosen, status="")


def _news(chosen: JobFilter, *, shown: int, since: int) -> News:
    query = chosen.query()
    return News(
        count=shown,
        poll=urlencode({**query, "since": since, "shown": shown}),
        query=urlencode(query),
        is_exact=set(query) <= {"status"},
    )


def _counted(chosen: JobFilter) -> int:
    """Jobs that have ended so far, of the filter's status if it has one; the ledger knows."""
    failed_only = chosen.attention or bool(chosen.cause)
    wanted = [JobStatus.FAILED] if failed_only else [end for end in ENDS if chosen.status in ("", end)]
    row = QueueControl.objects.values(*(end.lower() for end in wanted)).get(pk=QueueControl.SINGLETON_ID)
    return sum(row.values())


def _number(request: HttpRequest, name: str) -> int:
    return whole(request.GET.get(name, "")) or 0


def _links(chosen: JobFilter) -> tuple[FilterLink, ...]:
    """Everything, each end, and what waits for somebody; the rest of the filter stays."""
    plain = replace(chosen, status="", attention=False, cause="")
    choices = [
        ("All", plain, not chosen.status and not chosen.attention),
        *((end.label, replace(plain, status=end), chosen.status == end) for end in ENDS),
        ("Needs attention", replace(plain, attention=True), chosen.attention and not chosen.status),
    ]
    return tuple(
        FilterLink(str(label), urlencode(wanted.query()), bool(now)) for label, wanted, now in choices
    )


def _context(request: HttpRequest, page: lists.JobPage, chosen: JobFilter) -> dict[str, object]:
    fields = chosen.query()
    return {
        "page": page,
        "fields": fields,
        "words": chosen.words(),
        "later": bool(request.GET.get("after")),
        "first_query": urlencode(fields),
        "suffix": f"?{urlencode(fields)}" if fields else "",
        "next_query": urlencode({**fields, "after": page.after}) if page.after else "",
        "here": request.get_full_path(),
        "may_operate": may_operate(request),
    }
