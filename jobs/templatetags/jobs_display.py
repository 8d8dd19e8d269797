"""How times, durations and errors are written on pages."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.lifecycle import JobStatus
from webui.templatetags.webui_display import clock, icon

register = template.Library()
register.filter(clock)


@register.filter
def duration(seconds: float | None) -> str:
    """`0.4 s`, `37 s`, `2 min 05 s`, `1 h 07 min`; an unknown one is a dash."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


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


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A relative time that carries the absolute one."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(timespec="seconds"),
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        _ago((timezone.now() - at).total_seconds(), local),
    )


def _ago(age_s: float, local: datetime) -> str:
    if age_s < 45:
        return "just now"
    if age_s < 3600:
        return f"{max(1, round(age_s / 60))} min ago"
    if age_s < 86_400:
        return f"{round(age_s / 3600)} h ago"
    return local.strftime("%Y-%m-%d %H:%M")
