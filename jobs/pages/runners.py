"""The runner of one node as a card that any page can fetch, and the buttons that let it try a job or a checkpoint."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs.pages.permissions import may_operate, operators_only
from jobs.queue import control, fitness
from jobs.queue.trouble import NAME_LENGTH
from jobs.reading.runners import RunnerCard, runner_card
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.node import node_or_404
from webui.pages.return_address import return_address
from webui.pages.sent import plain


@require_safe
def runner_state(request: HtmxHttpRequest, node_id: int) -> HttpResponse:
    """Worker, heartbeat and breaker of one node; 204 when the caller has this version already."""
    card = _card(node_id)
    if request.GET.get("version") == card.version:
        return HttpResponse(status=204)
    fragment = request.htmx
    template = "jobs/_runner_state.html" if fragment else "jobs/runner_state.html"
    return render(request, template, {"runner": card, "may_operate": may_operate(request)})


@require_POST
@operators_only
def runner_try(request: HtmxHttpRequest, node_id: int) -> HttpResponse:
    """Let a node with an open breaker try one job now."""
    node = node_or_404(node_id)
    resumed = control.resume_node(node, by=request.user.get_username())
    if request.htmx:
        context = {"runner": _card(node_id), "may_operate": True}
        return render(request, "jobs/_runner_state.html", context)
    if resumed:
        messages.success(request, f"{node.name} tries one job now. If it completes, the others follow.")
    else:
        messages.info(request, f"The breaker of {node.name} is closed: it takes jobs as usual.")
    return redirect(return_address(request, reverse("runner-state", args=[node_id])))


@require_POST
@operators_only
def runner_release(request: HtmxHttpRequest, node_id: int) -> HttpResponse:
    """Let a checkpoint that failed on this node again and again be tried there once more."""
    node = node_or_404(node_id)
    checkpoint = plain(request.POST.get("checkpoint", ""), NAME_LENGTH)
    names = fitness.release_checkpoint(node, checkpoint, by=request.user.get_username()) if checkpoint else []
    if request.htmx:
        context = {"runner": _card(node_id), "may_operate": True}
        return render(request, "jobs/_runner_state.html", context)
    if names:
        messages.success(request, f"{node.name} tries {', '.join(names)} again.")
    else:
        messages.info(request, f"{node.name} holds no such checkpoint.")
    return redirect(return_address(request, reverse("runner-state", args=[node_id])))


def _card(node_id: int) -> RunnerCard:
    card = runner_card(node_id)
    if card is None:
        raise Http404(f"There is no node {node_id}.")
    return card
