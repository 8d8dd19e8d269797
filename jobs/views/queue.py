"""The queue page, its one-second poll, and the pause switch."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from jobs import services
from jobs.selectors.lists import history, queued
from jobs.selectors.live import LiveVersion, live, live_version
from jobs.views.permissions import may_operate, operators_only

#: Lines that the queue page shows of the queue and of the history; their own pages show all.
QUEUE_HEAD = 12
RECENT = 8


@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    version = live_version()
    return render(request, "jobs/queue.html", _live_context(request, version) | _lists_context())


@require_safe
def queue_live(request: HttpRequest) -> HttpResponse:
    """What changed since `version`; the lists only if theirs (`lists`) is old. 204 when nothing did."""
    version = live_version()
    lists_are_new = request.GET.get("lists") == str(version.control)
    if lists_are_new and request.GET.get("version") == str(version):
        return HttpResponse(status=204)
    context = _live_context(request, version)
    if not lists_are_new:
        context |= _lists_context() | {"with_lists": True}
    return render(request, "jobs/queue_live.html", context)


def _live_context(request: HttpRequest, version: LiveVersion) -> dict[str, Any]:
    return {"live": live(), "version": version, "may_operate": may_operate(request)}


def _lists_context() -> dict[str, Any]:
    return {"queue": queued(size=QUEUE_HEAD), "recent": history(size=RECENT)}


@require_POST
@operators_only
def queue_pause(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username()
    if services.pause(by=name, reason=request.POST.get("reason", "").strip()):
        messages.success(request, "The queue is paused: no job starts. A running job goes on to its end.")
    else:
        messages.info(request, "The queue was paused already.")
    return redirect("queue")


@require_POST
@operators_only
def queue_resume(request: HttpRequest) -> HttpResponse:
    if services.resume(by=request.user.get_username()):
        messages.success(request, "The queue goes on.")
    else:
        messages.info(request, "The queue was not paused.")
    return redirect("queue")
