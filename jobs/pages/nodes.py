"""All nodes: the page of them, the strip for other pages, and the page that removes one."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from jobs.errors import NodeStaysError
from jobs.reading.nodes import node_lines, version_of
from jobs.supervising.remove_node import remove_node, why_it_stays
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.node import CHANGE, node_or_404
from webui.pages.node_card import node_card


@require_safe
def nodes(request: HtmxHttpRequest) -> HttpResponse:
    """The page, or its moving part for htmx; 204 when the caller has this version already."""
    return _lines(request, "jobs/_nodes.html", "jobs/nodes.html")


@require_safe
def node_strip(request: HtmxHttpRequest) -> HttpResponse:
    """The same in short, as a part of other pages."""
    return _lines(request, "jobs/node_strip.html", "jobs/node_strip_page.html")


def _lines(request: HtmxHttpRequest, part: str, page: str) -> HttpResponse:
    lines = node_lines()
    version = version_of(lines)
    moving = request.htmx
    if moving and request.GET.get("version") == version:
        return HttpResponse(status=204)
    context = {
        "nodes": lines,
        "version": version,
        "poll_s": min((line.card.poll_s for line in lines), default=3),
        "may_change": request.user.has_perm(CHANGE),
    }
    return render(request, part if moving else page, context)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(CHANGE, raise_exception=True)
def node_remove(request: HttpRequest, node_id: int) -> HttpResponse:
    """Asks first, or says why the node stays; removes it when that was confirmed."""
    row = node_or_404(node_id)
    if request.method == "POST":
        try:
            remove_node(row, by=request.user.get_username())
        except NodeStaysError as exc:
            messages.error(request, str(exc))
            return redirect("node", row.pk)
        messages.success(request, f"{row.name} is removed.")
        return redirect("nodes")
    return render(request, "jobs/node_remove.html", {"node": node_card(row), "stays": why_it_stays(row)})
