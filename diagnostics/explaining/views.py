"""Parts of a job's page that only this app can tell, each also a page of its own: its account, its exchanges."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from diagnostics.explaining.exchanges import exchanges_of
from diagnostics.explaining.explain import explain
from diagnostics.explaining.job_facts import situation_of, situation_version
from jobs.errors import NotFoundError
from jobs.pages.permissions import may_operate
from webui.pages.htmx import HtmxHttpRequest


@require_safe
def account(request: HtmxHttpRequest, job_id: int) -> HttpResponse:
    """What happened to a job, or why it does not run yet; 204 when the caller has this version already."""
    version = situation_version(job_id)
    if version is not None and request.GET.get("version") == version:
        return HttpResponse(status=204)
    try:
        told = explain(situation_of(job_id))
    except NotFoundError as exc:
        return _gone(request, str(exc))
    context = {"account": told, "version": version, "may_operate": may_operate(request)}
    return render(request, f"diagnostics/{_template(request, 'job_account')}", context)


@require_safe
def exchanges(request: HtmxHttpRequest, job_id: int) -> HttpResponse:
    """What was sent for a job and what came back, request by request."""
    try:
        found = exchanges_of(job_id)
    except NotFoundError as exc:
        return _gone(request, str(exc))
    context = {"job_id": job_id, "exchanges": found}
    return render(request, f"diagnostics/{_template(request, 'job_exchanges')}", context)


def _template(request: HtmxHttpRequest, name: str) -> str:
    return f"{name}.html" if request.htmx else f"{name}_page.html"


def _gone(request: HttpRequest, reason: str) -> HttpResponse:
    return render(request, "404.html", {"reason": reason}, status=404)
