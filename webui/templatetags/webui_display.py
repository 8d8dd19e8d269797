"""What every page may use: icons of the sprite, exact times, commands to type, and who is only simulated."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from webui import typed_command
from webui.models import Node

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """One symbol of `icons.svg`; decoration only, so the word beside it carries the meaning."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("icons.svg"),
        name,
    )


@register.simple_tag
def typed(*words: object) -> str:
    """A command to type, as it is typed here: `{% typed "run_node" name %}`."""
    return typed_command.typed(" ".join(map(str, words)))


@register.simple_tag
def simulated_nodes() -> list[str]:
    """Names of the nodes that the built-in simulator serves; one query."""
    return list(Node.objects.filter(simulated=True).values_list("name", flat=True))


@register.filter
def clock(at: datetime | None) -> SafeString | str:
    """The exact time of day, for rows that stand in an order."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(timespec="milliseconds"),
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        local.strftime("%Y-%m-%d %H:%M:%S"),
    )
