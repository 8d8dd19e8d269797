"""What every page may use: icons, times and durations, commands to type, and whether a simulator stands in."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.templatetags.static import static
from django.utils import dateformat, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from webui import typed_command
from webui.models import Node
from webui.words import duration, listed

register = template.Library()

#: Nodes that the note about simulated results names; more are counted.
SIMULATED_NAMED = 3


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
def simulated_nodes() -> str:
    """Names of the nodes that the built-in simulator serves, `a, b and c`; empty for none. One query."""
    names = list(Node.objects.filter(simulated=True).values_list("name", flat=True))
    more = len(names) - SIMULATED_NAMED
    named = names if more <= 0 else [*names[:SIMULATED_NAMED], f"{more:,} more"]
    return listed(named) if named else ""


@register.filter
def clock(at: datetime | None) -> SafeString | str:
    """The exact time, for rows that stand in an order."""
    return "–" if at is None else _time(at, f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S}")


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A relative time that carries the exact one."""
    if at is None:
        return "–"
    age_s = (timezone.now() - at).total_seconds()
    if age_s < 45:
        return _time(at, "just now")
    if age_s < 3600:
        return _time(at, f"{max(1, round(age_s / 60))} min ago")
    if age_s < 86_400:
        return _time(at, f"{round(age_s / 3600)} h ago")
    return _time(at, f"{timezone.localtime(at):%Y-%m-%d %H:%M}")


@register.filter
def day_time(at: datetime) -> SafeString:
    """`Nov 21, 18:03`: stays true on a page that nobody loads again, as `5 min ago` would not."""
    return _time(at, dateformat.format(timezone.localtime(at), "M j, H:i"))


def _time(at: datetime, text: str) -> SafeString:
    exact = f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(timespec="milliseconds"), exact, text
    )


register.filter(duration)
