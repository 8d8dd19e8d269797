"""One job: its page, its poll, its buttons."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs.errors import RefusedError
from jobs.lifecycle import Priority
from jobs.pages.permissions import may_operate, operators_only
from jobs.queue import control
from jobs.queue.control import CancelResult
from jobs.reading.detail import JobDetail, job_detail, job_version
from jobs.submitting.reruns import rerun
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.return_address import return_address


@require_safe
def job(request: HttpRequest, job_id: int) -> HttpResponse:
    detail = job_detail(job_id)
    if detail is None:
        raise Http404(f"There is no job {job_id}. Its number may be mistyped.")
    return render(request, "jobs/job_detail.html", _context(request, detail))


@require_safe
def job_live(request: HttpRequest, job_id: int) -> HttpResponse:
    """The moving part of the page; 204 when the caller has this version already."""
    version = job_version(job_id)
    if version is not None and request.GET.get("version") == version:
        return HttpResponse(status=204)
    detail = job_detail(job_id)
    if detail is None:
        raise Http404(f"There is no job {job_id}.")
    return render(request, "jobs/job_live.html", _context(request, detail))


def _context(request: HttpRequest, detail: JobDetail) -> dict[str, Any]:
    return {"job": detail, "priorities": tuple(Priority), "may_operate": may_operate(request)}


@require_POST
@operators_only
def job_cancel(request: HtmxHttpRequest, job_id: int) -> HttpResponse:
    cancelled = control.cancel(job_id, by=request.user.get_username())
    if request.htmx:
        return render(request, "jobs/job_cancelled.html", {"cancelled": cancelled})
    level = messages.WARNING if cancelled.result is CancelResult.TOO_LATE else messages.SUCCESS
    messages.add_message(request, level, cancelled.message)
    return redirect(return_address(request, reverse("job", args=[job_id])))


@require_POST
@operators_only
def job_rerun(request: HttpRequest, job_id: int) -> HttpResponse:
    """A new job from the very same record; leads to it."""
    try:
        [made] = rerun([job_id], by=request.user.get_username())
    except RefusedError as exc:
        messages.warning(request, exc.problems[0].message)
        return redirect(return_address(request, reverse("job", args=[job_id])))
    messages.success(request, f"Job {job_id} runs again as job {made}, with the same record.")
    return redirect(reverse("job", args=[made]))
