"""How statuses, errors and numbers are written on pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from jobs.lifecycle import JobStatus, TruthVerdict
from jobs.packs.differences import DiffLine
from jobs.reading.pack_rows import Piece
from jobs.reading.record_facts import model_words
from webui.templatetags.webui_display import icon

register = template.Library()


register.filter(model_words)


@register.simple_tag
@cache
def status_pill(status: JobStatus) -> SafeString:
    """Icon, word and colour of a status; put together once, because long lists are made of them."""
    picture = icon(f"status-{status}")
    return format_html(
        '<span class="status" data-status="{}">{}{}</span>', str(status), picture, JobStatus(status).label
    )


@register.simple_tag
def truth_pill(truth: TruthVerdict | None) -> SafeString | str:
    """Of a job whose pictures are not what was asked for; the others need no mark."""
    if truth is not TruthVerdict.DRIFTED:
        return ""
    return format_html(
        '<span class="status" data-status="WARNING">{}{}</span>', icon("warning"), TruthVerdict.DRIFTED.label
    )


@register.filter
def strong_numbers(words: str) -> SafeString:
    """`3 pictures and 2 films` with its numbers set off."""
    parts = re.split(r"([0-9][0-9,]*)", words)
    return format_html_join(
        "",
        "{}",
        (
            (format_html("<strong>{}</strong>", part) if place % 2 else part,)
            for place, part in enumerate(parts)
        ),
    )


@register.filter
def without_place(message: str) -> str:
    """An error's sentence without stage, address and status, which a line of a list has no room for."""
    return re.sub(r" \((?:stage |GET |POST |/|HTTP )[^()]*\)", "", message, count=1)


@register.filter
def marked(pieces: Iterable[Piece]) -> SafeString:
    """A prompt with what its tokens are. It is shown with each of its blanks, which a template could not keep."""
    return format_html_join("", "{}", ((_marked(piece),) for piece in pieces))


def _marked(piece: Piece) -> SafeString | str:
    if not piece.mark:
        return piece.text
    title = mark_safe(' title="This token has no values"') if piece.mark == "missing" else ""
    return format_html('<mark data-mark="{}"{}>{}</mark>', piece.mark, title, piece.text)


@register.filter
def as_change(line: DiffLine) -> SafeString | str:
    """A line of a comparison, every blank of it, as added, removed or the same."""
    kinds = {"added": "<ins>{}</ins>", "removed": "<del>{}</del>"}
    return format_html(kinds[line.sign], line.text) if line.sign in kinds else line.text


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"
