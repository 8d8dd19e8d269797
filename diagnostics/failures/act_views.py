"""Acts on failures in the admin: a page that asks, with the number, and one that acts and says what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from diagnostics.explaining.account import count
from diagnostics.failures.acts import MAX_CHOSEN, Act, Done, choose, perform
from diagnostics.models import FailedJob
from diagnostics.permissions import may_see_failures
from jobs.pages.permissions import OPERATE, may_operate
from webui.pages.return_address import return_address

#: Jobs that a page or a message names; more are only counted.
NAMED = 10
LIST = "admin:diagnostics_failedjob_changelist"


@dataclass(frozen=True, slots=True)
class ActWords:
    """How an act is told: the question is its verb with the number, and `then` what it means."""

    verb: str
    noun: str
    after: str
    then: str
    unfit: str
    done: str


WORDS: Mapping[Act, ActWords] = {
    Act.RUN_AGAIN: ActWords(
        "Run",
        "job",
        " again",
        "Each is queued anew from the very same record. Failures that are run again stay in the history and "
        "need no more attention.",
        "not ended yet, or run again meanwhile",
        "queued again",
    ),
    Act.CANCEL: ActWords(
        "Cancel",
        "job",
        "",
        "What waits ends at once; what runs ends with the answer to its interrupted request. "
        "Cancelled jobs can be run again.",
        "ended, or being cancelled already",
        "cancelled",
    ),
    Act.DISMISS: ActWords(
        "Dismiss",
        "failure",
        "",
        "They need no more attention. They stay failed, with their evidence, and can still be run again.",
        "nothing that needs attention",
        "dismissed",
    ),
}


def ask(
    request: HttpRequest, site: Mapping[str, Any], act: Act, job_ids: Sequence[int], back: str
) -> HttpResponse:
    """The page that asks; more than `MAX_CHOSEN` ids mean that the choice has no end here, and that is said."""
    choice, words = choose(act, job_ids), WORDS[act]
    number = len(choice.applies)
    context = {
        **site,
        "opts": FailedJob._meta,
        "title": f"{words.verb} {count(number, words.noun)}{words.after}?",
        "choice": choice,
        "words": words,
        "button": f"{words.verb} {count(number, words.noun)}{words.after}",
        "named": choice.applies[:NAMED],
        "more": max(0, number - NAMED),
        "limit": MAX_CHOSEN if len(job_ids) > MAX_CHOSEN else 0,
        "back": back,
    }
    return TemplateResponse(request, "admin/diagnostics/failedjob/act.html", context)


def act(request: HttpRequest, site: Mapping[str, Any]) -> HttpResponse:
    """Ask about the jobs of the form, or do it where `sure` is set; then back to where it was asked for."""
    if not (may_see_failures(request) and may_operate(request)):
        raise PermissionDenied(f"Acting on failures needs the permission to change jobs ({OPERATE}).")
    wanted, job_ids, known = _read(request)
    back = return_address(request, reverse(LIST))
    if wanted is None or not job_ids:
        messages.warning(request, "Nothing was chosen, so nothing was done.")
        return redirect(back)
    if "sure" not in request.POST:
        return ask(request, site, wanted, job_ids, back)
    done = perform(replace(choose(wanted, job_ids), newest_id=known), by=request.user.get_username())
    if done.bulk is not None and done.bulk.ended_at is None:
        return redirect(f"{reverse('bulk', args=[done.bulk.pk])}?{urlencode({'next': back})}")
    _tell(request, wanted, done)
    return redirect(back)


def _read(request: HttpRequest) -> tuple[Act | None, list[int], int]:
    """The act, the jobs, and the newest job when they were shown; what cannot be read is left out."""
    name = request.POST.get("act", "")
    numbers = [text for text in request.POST.get("jobs", "").split(",") if _is_number(text)]
    known = request.POST.get("known", "")
    wanted = Act(name) if name in list(Act) else None
    return wanted, [int(text) for text in numbers[: MAX_CHOSEN + 1]], int(known) if _is_number(known) else 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _tell(request: HttpRequest, wanted: Act, done: Done) -> None:
    words = WORDS[wanted]
    alone = f" Left alone: {done.left_alone:,} ({words.unfit})." if done.left_alone else ""
    if not done.count:
        messages.warning(request, f"No {words.noun} was {words.done}.{alone}")
        return
    were = "was" if done.count == 1 else "were"
    made = format_html(": {}", job_links(done.made)) if done.made else ""
    asked = format_html(" Still running until its request is interrupted: {}.", job_links(done.asked))
    told = format_html("{} {} {}{}.", count(done.count, words.noun), were, words.done, made)
    messages.success(request, format_html("{}{}{}", told, asked if done.asked else "", alone))


def job_links(job_ids: Sequence[int]) -> SafeString:
    """`job 17, job 18 and 40 more`, each a link."""
    links = format_html_join(
        ", ",
        '<a href="{}">job {}</a>',
        ((reverse("job", args=[job_id]), job_id) for job_id in job_ids[:NAMED]),
    )
    more = len(job_ids) - NAMED
    return format_html("{} and {} more", links, f"{more:,}") if more > 0 else links
