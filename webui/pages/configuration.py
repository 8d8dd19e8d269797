"""Attach a server, change where it is, and try a connection before or after: for who may steer nodes."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from webui.models import Node, NodeState
from webui.nodes.adding import add_node
from webui.nodes.change import change_node, same_server
from webui.nodes.connecting import credentials_of
from webui.nodes.spec import NodeRefusedError, driver_problem
from webui.pages.connection_check import check_connection
from webui.pages.forms import (
    FIELDS,
    AddressForm,
    AttachForm,
    ChangeForm,
    WorkForm,
    change_form,
)
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.node import CHANGE, node_or_404
from webui.pages.node_card import node_card
from webui.pages.sent import whole
from webui.typed_command import typed
from webui.work.told import ConnectionVerdict

steerers_only = permission_required(CHANGE, raise_exception=True)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@steerers_only
def node_attach(request: HttpRequest) -> HttpResponse:
    """The form for a server that somebody else keeps running; `add_node` judges what it is given."""
    form = AttachForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            node = add_node(
                given["name"],
                given["base_url"],
                api_auth=form.api_auth(given),
                kind=given["kind"],
                card=given["card"],
                driver=given["driver"],
            )
        except NodeRefusedError as exc:
            _add_refusal(form, exc)
        else:
            messages.success(
                request,
                f"{node.name} is attached. `{typed('up')}` starts its runner within seconds; without `up`, start "
                f"it with: {typed(f'run_node {node.name}')}",
            )
            return redirect("node", node.pk)
    return render(request, "webui/node_attach.html", {"form": form})


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@steerers_only
def node_edit(request: HttpRequest, node_id: int) -> HttpResponse:
    """What a node takes, and address and credentials of an attached server; of another, why not."""
    row = node_or_404(node_id)
    form = change_form(row, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        auth = form.new_auth() if isinstance(form, ChangeForm) else None
        try:
            change_node(
                row,
                base_url=given.get("base_url"),
                api_auth=auth,
                kind=given["kind"],
                card=given["card"],
                driver=given.get("driver"),
            )
        except NodeRefusedError as exc:
            _add_refusal(form, exc)
        else:
            waits = row.wish_after_job
            then = "It is restarted after its running job." if waits else "The new values are used at once."
            messages.success(request, f"{row.name} is changed. {then}")
            return redirect("node", row.pk)
    return render(request, "webui/node_edit.html", {"form": form, "node": node_card(row)})


@never_cache
@sensitive_post_parameters("password")
@require_POST
@steerers_only
def node_test(request: HtmxHttpRequest) -> HttpResponse:
    """The verdict on the address that a form holds, or (`node`) on a node as it is; changes nothing.

    The credentials of a node are sent to its own address alone.
    """
    number = whole(request.POST.get("node", ""))
    row = node_or_404(number) if number is not None else None
    if row is not None and "base_url" not in request.POST:
        return _answer(request, _verdict_on(row.base_url, credentials_of(row), row.driver), row=row)
    form = AddressForm(request.POST, initial={"driver": row.driver} if row else {})
    if not form.is_valid():
        return _answer(request, None, row=row, form=form)
    address, auth = form.cleaned_data["base_url"], form.auth
    if (
        row is not None
        and auth is None
        and "forget" not in request.POST
        and same_server(address, row.base_url)
    ):
        auth = credentials_of(row)
    verdict = _verdict_on(address, auth, form.cleaned_data["driver"])
    return _answer(request, verdict, row=row, form=form)


def _verdict_on(address: str, auth: tuple[str, str] | None, driver: str) -> ConnectionVerdict | str:
    """Looks, unless a keeper of ours is just waiting for that very server: it may not be spoken to yet."""
    if problem := driver_problem(driver):
        return problem
    for known in Node.objects.filter(state__in=(NodeState.STARTING, NodeState.RESTARTING)):
        if same_server(known.base_url, address):
            return (
                f"{known.name} is just starting there, and a question that comes too early can end a server. "
                "Test again when it is ready or has failed."
            )
    return check_connection(address, auth, driver=driver)


def _answer(
    request: HtmxHttpRequest,
    verdict: ConnectionVerdict | str | None,
    *,
    row: Node | None,
    form: AddressForm | None = None,
) -> HttpResponse:
    """The verdict alone for htmx; without it the page that it was asked on, with the verdict in it."""
    address = (
        row.base_url if form is None and row is not None else form.data.get("base_url", "") if form else ""
    )
    context: dict[str, object] = {
        "verdict": verdict if isinstance(verdict, ConnectionVerdict) else None,
        "no_verdict": verdict if isinstance(verdict, str) else "",
        "form": form,
        "twins": _others_at(address, row) if isinstance(verdict, ConnectionVerdict) else [],
    }
    if request.htmx:
        return render(request, "webui/node_verdict.html", context)
    if row is None:
        full = AttachForm(request.POST)
        return render(request, "webui/node_attach.html", context | {"form": full})
    context["node"] = node_card(row)
    if form is None:
        return render(request, "webui/node_verdict_page.html", context)
    return render(request, "webui/node_edit.html", context | {"form": ChangeForm(request.POST)})


def _others_at(address: str, row: Node | None) -> list[str]:
    """Nodes that use this server already: two on one WebUI would wait for and interrupt each other."""
    nodes = Node.objects.exclude(pk=row.pk) if row else Node.objects.all()
    return [node.name for node in nodes if same_server(node.base_url, address)]


def _add_refusal(form: AddressForm | WorkForm, refusal: NodeRefusedError) -> None:
    field = FIELDS.get(refusal.field, refusal.field)
    form.add_error(field if field in form.fields else None, str(refusal))
