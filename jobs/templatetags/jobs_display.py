"""How statuses, errors and numbers are written on pages."""

from __future__ import annotations

import re
from functools import cache

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.lifecycle import JobStatus
from webui.templatetags.webui_display import icon

register = template.Library()


@register.simple_tag
@cache
def status_pill(status: JobStatus) -> SafeString:
    """Icon, word and colour of a status; put together once, because long lists are made of them."""
    picture = icon(f"status-{status}")
    return format_html(
        '<span class="status" data-status="{}">{}{}</span>', str(status), picture, JobStatus(status).label
    )


@register.filter
def without_place(message: str) -> str:
    """An error's sentence without stage, address and status, which a line of a list has no room for."""
    return re.sub(r" \((?:stage |GET |POST |/|HTTP )[^()]*\)", "", message, count=1)


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"
