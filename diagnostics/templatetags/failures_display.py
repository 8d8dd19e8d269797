"""How the pages of failures write times."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def day_time(at: datetime) -> SafeString:
    """`Nov 21, 18:03`: stays true on a page that nobody loads again, as `5 min ago` would not."""
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{} {}, {}</time>',
        at.isoformat(timespec="seconds"),
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        local.strftime("%b"),
        local.day,
        local.strftime("%H:%M"),
    )
