"""Whole lists, page by page: the queue, the history, all jobs."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from jobs.filters import JobFilter
from jobs.lifecycle import TERMINAL, JobStatus
from jobs.selectors import lists
from jobs.views.permissions import may_operate

#: Statuses that history knows, in the order of the life cycle.
ENDS = tuple(status for status in JobStatus if status in TERMINAL)


@require_safe
def queued(request: HttpRequest) -> HttpResponse:
    page = lists.queued(after=request.GET.get("after", ""))
    return _render(request, "jobs/job_queued.html", page, status="")


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """Ended jobs; `status` filters, an unknown one is ignored."""
    asked = request.GET.get("status", "")
    status = asked if asked in ENDS else ""
    page = lists.history(JobFilter(status=status), request.GET.get("after", ""))
    return _render(request, "jobs/job_history.html", page, status=status)


@require_safe
def everything(request: HttpRequest) -> HttpResponse:
    page = lists.everything(request.GET.get("after", ""))
    return _render(request, "jobs/job_list.html", page, status="")


def _render(request: HttpRequest, template: str, page: lists.JobPage, *, status: str) -> HttpResponse:
    filters = {"status": status} if status else {}
    context = {
        "page": page,
        "status": status,
        "ends": ENDS,
        "later": bool(request.GET.get("after")),
        "first_query": urlencode(filters),
        "next_query": urlencode({**filters, "after": page.after}) if page.after else "",
        "may_operate": may_operate(request),
    }
    return render(request, template, context)
