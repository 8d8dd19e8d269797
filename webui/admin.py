"""The admin looks at everything and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from webui.http.ports import mask_command
from webui.keeper.restart_means import restart_means
from webui.models import Boot, Node, NodeCatalog
from webui.pages.node_card import shown_address

RowT = TypeVar("RowT", bound=Model)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    TabularInline = admin.TabularInline[Any, Any]
else:
    # Django's own take no types of rows outside of the type checker.
    class ModelAdmin(admin.ModelAdmin, Generic[RowT]):
        pass

    TabularInline = admin.TabularInline


class ReadOnlyAdmin(ModelAdmin[RowT]):
    """Rows are looked at here; whatever changes them are the services behind the pages and commands."""

    actions: Sequence[str] | None = None
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: RowT | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RowT | None = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    """Rows of another table below the row that they belong to."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class BootInline(ReadOnlyInline):
    model = Boot
    fields = ("generation", "begun_at", "begun_because", "pid", "ready_at", "ended_at", "ended_because")


@admin.register(Boot)
class BootAdmin(ReadOnlyAdmin[Boot]):
    list_display = ("node", *BootInline.fields)
    list_select_related = ("node",)
    list_filter = ("node",)
    search_fields = ("node__name", "begun_because", "ended_because")


@admin.register(NodeCatalog)
class NodeCatalogAdmin(ReadOnlyAdmin[NodeCatalog]):
    """Its names stand on the node's own page; the document is long."""

    list_display = ("node", "dialect", "generation", "read_at", "wanted_at", "wanted_because", "problem")
    list_select_related = ("node",)
    list_filter = ("dialect",)
    search_fields = ("node__name", "problem")
    exclude = ("document",)


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin[Node]):
    list_display = (
        "name",
        "address",
        "state",
        "state_since",
        "generation",
        "restarts",
        "checkpoint",
        "simulated",
    )
    list_filter = ("state", "simulated")
    search_fields = ("name", "base_url", "checkpoint")
    # The credentials are shown nowhere, and may also stand in the address or the command.
    exclude = ("api_auth", "base_url", "start_command", "restart_command", "nonce")
    readonly_fields = ("address", "command", "restarted")
    inlines = (BootInline,)

    @admin.display(description="address", ordering="base_url")
    def address(self, node: Node) -> str:
        return shown_address(node.base_url)

    @admin.display(description="start command")
    def command(self, node: Node) -> str:
        return mask_command(node.start_command)

    @admin.display(description="restarted")
    def restarted(self, node: Node) -> str:
        return restart_means(node)
