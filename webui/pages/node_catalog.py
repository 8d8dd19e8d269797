"""What a node's server has: a part of the node's page, a page of all names, and the button that has it read again."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from webui.models import NodeState
from webui.nodes.catalogs import want_catalog
from webui.pages.catalog_lines import LONGEST_SEARCH, SHOWN, catalog_part, label_of, name_lines
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.node import CHANGE, node_or_404
from webui.pages.node_card import node_card
from webui.pages.return_address import return_address
from webui.pages.sent import plain


@require_safe
def node_catalog(request: HtmxHttpRequest, node_id: int) -> HttpResponse:
    """All names, searched by `q` and `kind`; for htmx the counts alone, 204 when the caller has this version."""
    row = node_or_404(node_id)
    context: dict[str, object] = {"node": node_card(row), "may_change": request.user.has_perm(CHANGE)}
    context |= catalog_part(row)
    if request.htmx:
        if request.GET.get("version") == context["catalog_version"]:
            return HttpResponse(status=204)
        return render(request, "webui/node_catalog.html", context)
    search = plain(request.GET.get("q", ""), LONGEST_SEARCH)
    asked = request.GET.get("kind", "")
    kind = asked if asked in {thing.value for thing in SHOWN} else ""
    lines, found = name_lines(row, kind, search)
    context |= {"lines": lines, "found": found, "search": search, "kind": kind}
    context["kinds"] = [(thing.value, label_of(thing)) for thing in SHOWN]
    return render(request, "webui/node_catalog_page.html", context)


@require_POST
@permission_required(CHANGE, raise_exception=True)
def node_catalog_read(request: HttpRequest, node_id: int) -> HttpResponse:
    """Ask for the lists to be read again."""
    row = node_or_404(node_id)
    want_catalog(row.pk, f"{request.user.get_username()} asked for it")
    if row.state == NodeState.READY:
        messages.success(request, f"The lists of {row.name} will be read again in a moment.")
    else:
        messages.info(request, f"The lists of {row.name} will be read as soon as its WebUI is ready.")
    return redirect(return_address(request, reverse("node", args=[row.pk])))
