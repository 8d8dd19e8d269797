"""One submission: what it made, how far it is, and cancelling what still waits of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from jobs.lifecycle import JobStatus
from jobs.selectors.submissions import (
    queue_version,
    submission_facts,
    submission_jobs,
    submission_progress,
)
from jobs.views.permissions import may_operate


@require_safe
def submission(request: HttpRequest, submission_id: int) -> HttpResponse:
    """Its progress and its jobs; `status` shows those of one status only, `after` the next page."""
    facts = submission_facts(submission_id)
    if facts is None:
        return _gone(request, submission_id)
    status = request.GET.get("status", "")
    if status not in JobStatus.values:
        status = ""
    after = request.GET.get("after", "")
    jobs = submission_jobs(submission_id, status, int(after) if _is_number(after) else 0)
    context = {"submission": facts, "jobs": jobs, "status": status, "is_first": not after}
    context |= _live_context(request, submission_id)
    return render(request, "jobs/submission_detail.html", context)


@require_safe
def submission_live(request: HttpRequest, submission_id: int) -> HttpResponse:
    """The moving part of the page; 204 while the queue is as it was at `version`."""
    if request.GET.get("version") == str(queue_version()):
        return HttpResponse(status=204)
    context = _live_context(request, submission_id) | {"submission_id": submission_id}
    return render(request, "jobs/submission_live.html", context)


def _live_context(request: HttpRequest, submission_id: int) -> dict[str, Any]:
    return {
        "progress": submission_progress(submission_id),
        "submission_id": submission_id,
        "may_operate": may_operate(request),
    }


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _gone(request: HttpRequest, submission_id: int) -> HttpResponse:
    return render(request, "404.html", {"reason": f"There is no submission {submission_id}."}, status=404)
