"""One submission: what it made, how far it is, and cancelling what still waits of it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs.bulk import acts
from jobs.lifecycle import JobStatus
from jobs.models import BulkVerb, Job
from jobs.pages.bulk import BulkQuestion, ask
from jobs.pages.permissions import may_operate, operators_only
from jobs.reading.submissions import (
    jobs_of,
    queue_version,
    queued_ids,
    submission_facts,
    submission_jobs,
    submission_progress,
)
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.sent import whole


@require_safe
def submission(request: HttpRequest, submission_id: int) -> HttpResponse:
    """Its progress and its jobs; `status` shows those of one status only, `after` the next page."""
    status = request.GET.get("status", "")
    if status not in JobStatus.values:
        status = ""
    after = request.GET.get("after", "")
    jobs = jobs_of(submission_id)
    context = {
        "submission": submission_facts(submission_id),
        "jobs": submission_jobs(jobs, status, whole(after) or 0),
        "status": status,
        "is_first": not after,
    }
    context |= _live_context(request, submission_id, jobs)
    return render(request, "jobs/submission_detail.html", context)


@require_POST
@operators_only
def submission_cancel(request: HtmxHttpRequest, submission_id: int) -> HttpResponse:
    """Ask whether to cancel what still waits of it, as for any selection."""
    waiting = BulkQuestion(BulkVerb.CANCEL, tuple(queued_ids(submission_id)[: acts.MAX_SELECTED]))
    return ask(request, waiting, reverse("submission", args=[submission_id]))


@require_safe
def submission_live(request: HttpRequest, submission_id: int) -> HttpResponse:
    """The moving part of the page; 204 while the queue is as it was at `version`."""
    if request.GET.get("version") == str(queue_version()):
        return HttpResponse(status=204)
    context = _live_context(request, submission_id, jobs_of(submission_id))
    return render(request, "jobs/submission_live.html", context)


def _live_context(request: HttpRequest, submission_id: int, jobs: QuerySet[Job]) -> dict[str, Any]:
    return {
        "progress": submission_progress(jobs),
        "submission_id": submission_id,
        "may_operate": may_operate(request),
    }
