"""Parts of a job's page that only this app can tell, each also a page of its own: its account, its exchanges."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from diagnostics.explaining.exchanges import exchanges_of
from diagnostics.explaining.explain import explain
from diagnostics.explaining.job_facts import situation_of, situation_version
from jobs.pages.permissions import may_operate
from webui.pages.htmx import HtmxHttpRequest


@require_safe
def account(request: HtmxHttpRequest, job_id: int) -> HttpResponse:
    """What happened to a job, or why it does not run yet; 204 when the caller has this version already."""
    version = situation_version(job_id)
    if version is not None and request.GET.get("version") == version:
        return HttpResponse(status=204)
    told = explain(situation_of(job_id))
    context = {"account": told, "version": version, "may_operate": may_operate(request)}
    return render(request, f"diagnostics/{_template(request, 'job_account')}", context)


@require_safe
def exchanges(request: HtmxHttpRequest, job_id: int) -> HttpResponse:
    """What was sent for a job and what came back, request by request."""
    context = {"job_id": job_id, "exchanges": exchanges_of(job_id)}
    return render(request, f"diagnostics/{_template(request, 'job_exchanges')}", context)


def _template(request: HtmxHttpRequest, name: str) -> str:
    return f"{name}.html" if request.htmx else f"{name}_page.html"
