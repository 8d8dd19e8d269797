"""The page of one node with its history and log, and the buttons that leave a wish.

The pages of all nodes also tell of workers and breakers, so they stand in jobs.
"""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webui.evidence.redaction import redact_text, secrets_of
from webui.models import Node, Wish
from webui.nodes.wishes import clear_wish, wish
from webui.pages.boot_lines import PAGE_LINES, SHORT_LINES, boot_lines
from webui.pages.catalog_lines import catalog_part
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.node_card import node_card, version_of
from webui.pages.return_address import return_address
from webui.pages.sent import whole
from webui.processes.tail_capture import get_tail_logs

CHANGE = "webui.change_node"
#: Lines of each stream that the page shows of the newest boot.
LOG_LINES = 200
#: What a button asks for: the wish, whether it may wait for the running job, and the word for it.
ASKS = {
    "run": (Wish.RUN, False, "start"),
    "stop": (Wish.STOP, False, "stop"),
    "restart": (Wish.RESTART, True, "restart after the running job"),
    "restart-now": (Wish.RESTART, False, "restart now"),
}


@require_safe
def node(request: HtmxHttpRequest, node_id: int) -> HttpResponse:
    """One node: the page, or its moving part for htmx; 204 when the caller has this version already."""
    row = node_or_404(node_id)
    card = node_card(row)
    version = version_of([card])
    moving = request.htmx
    if moving and request.GET.get("version") == version:
        return HttpResponse(status=204)
    may_change = request.user.has_perm(CHANGE)
    context = {"node": card, "version": version, "may_change": may_change}
    if moving:
        return render(request, "webui/node_live.html", context)
    context |= catalog_part(row)
    context["boots"] = boot_lines(row, size=SHORT_LINES)
    return render(request, "webui/node_detail.html", context | _log_context(row, may_change=may_change))


@require_safe
def node_boots(request: HtmxHttpRequest, node_id: int) -> HttpResponse:
    """The history of its generations: a page, or for htmx the newest; 204 when the caller has this version."""
    row = node_or_404(node_id)
    part = request.htmx
    wanted = 0 if part else whole(request.GET.get("before", "")) or 0
    boots = boot_lines(row, wanted, size=SHORT_LINES if part else PAGE_LINES)
    if part and request.GET.get("version") == boots.version:
        return HttpResponse(status=204)
    context = {"node": node_card(row), "boots": boots, "before": wanted}
    return render(request, "webui/node_boots.html" if part else "webui/node_boots_page.html", context)


@never_cache
@require_safe
def node_log(request: HtmxHttpRequest, node_id: int) -> HttpResponse:
    """The last lines of the newest boot; for who may restart it, because a log tells much."""
    row = node_or_404(node_id)
    may_change = request.user.has_perm(CHANGE)
    context = {"node": node_card(row), **_log_context(row, may_change=may_change)}
    part = request.htmx
    return render(request, "webui/node_log.html" if part else "webui/node_log_page.html", context)


def _log_context(row: Node, *, may_change: bool) -> dict[str, object]:
    """Streams with their text, credentials and names of this machine taken out."""
    if not may_change:
        return {"may_read_log": False}
    secrets = secrets_of(node_id=row.pk)
    streams = [(name, redact_text(text, secrets)) for name, text in get_tail_logs(row, LOG_LINES).items()]
    return {
        "may_read_log": True,
        "streams": [(name, text) for name, text in streams if text],
        "log_lines": LOG_LINES,
        "read_at": timezone.now(),
    }


@require_POST
@permission_required(CHANGE, raise_exception=True)
def node_wish(request: HttpRequest, node_id: int) -> HttpResponse:
    """Leave a wish (one of `ASKS`) for the generation that the page showed."""
    row = node_or_404(node_id)
    asked = ASKS.get(request.POST.get("wish", ""))
    seen = whole(request.POST.get("generation", ""))
    if asked is None or seen is None:
        messages.error(request, f"{row.name}: that is no wish. Use the buttons of the node.")
        return redirect(return_address(request, reverse("queue")))
    wanted, after_job, word = asked
    granted = wish(
        node_id,
        wanted,
        by=request.user.get_username(),
        reason="asked on a page",
        generation=seen,
        after_job=after_job,
    )
    if granted:
        messages.success(request, f"{row.name} was asked to {word}.")
    else:
        messages.warning(
            request, f"{row.name} has changed since the page was drawn; look at its state and ask again."
        )
    return redirect(return_address(request, reverse("queue")))


@require_POST
@permission_required(CHANGE, raise_exception=True)
def node_take_back(request: HttpRequest, node_id: int) -> HttpResponse:
    """Remove a wish to start or restart that its keeper has not heeded yet; STOP is undone by asking to start."""
    row = node_or_404(node_id)
    seen = request.POST.get("generation", "") == str(row.generation)
    if seen and row.wish in (Wish.RESTART, Wish.RUN) and clear_wish(row):
        messages.success(request, f"The wish is taken back; {row.name} stays as it is.")
    else:
        messages.warning(request, f"There is nothing to take back any more: {row.name} has gone on already.")
    return redirect(return_address(request, reverse("queue")))


def node_or_404(node_id: int) -> Node:
    row = Node.objects.filter(pk=node_id).first()
    if row is None:
        raise Http404(f"There is no node {node_id}.")
    return row
