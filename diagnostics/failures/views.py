"""Failures that need attention, by cause: a page, and its fragment for the home page."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from diagnostics.failures.groups import attention, attention_version
from diagnostics.permissions import may_see_failures
from jobs.pages.permissions import may_operate
from webui.pages.htmx import HtmxHttpRequest

#: Causes that the fragment of the home page shows; the page shows all.
FEW = 3


@require_safe
@vary_on_headers("HX-Request")
def failures(request: HtmxHttpRequest) -> HttpResponse:
    """The groups: as a page, as its live part (`whole`), or as the home page's short list.

    204 when the caller has this `version` already.
    """
    asked = request.GET.get("version")
    if asked and asked == str(attention_version()):
        return HttpResponse(status=204)
    fragment = request.htmx
    short = fragment and "whole" not in request.GET
    context = {
        "attention": attention(most=FEW if short else None),
        "short": short,
        "may_operate": may_operate(request),
        "in_admin": request.user.is_staff and may_see_failures(request),
    }
    name = "failure_summary" if short else "failure_groups" if fragment else "failure_list"
    return render(request, f"diagnostics/{name}.html", context)
