"""What the frame of every page says of the jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from jobs.reading.live import Live
from jobs.reading.outlook import AttentionCount, attention

register = template.Library()


@register.simple_tag(takes_context=True)
def failures_waiting(context: Mapping[str, Any]) -> AttentionCount:
    """Failures that wait for a person, for the navigation; one query where the page has not asked already."""
    page: Live | None = context.get("live")
    return page.attention if page else attention()


@register.filter
def roughly(seconds: float) -> str:
    """A length of time as one would say it: `under a minute`, `about 40 min`, `about 3 h`, `about 2 days`."""
    if seconds < 60:
        return "under a minute"
    if seconds < 90 * 60:
        return f"about {_rounded(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"about {_rounded(seconds / 3600)} h"
    return f"about {_rounded(seconds / 86_400)} days"


def _rounded(amount: float) -> int:
    """Two digits would claim more than is known: above twenty only fives."""
    return max(1, round(amount)) if amount < 20 else round(amount / 5) * 5
