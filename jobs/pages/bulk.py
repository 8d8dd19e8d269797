"""Acts on many jobs: the question with the exact number, the start, the progress, the stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from jobs.bulk import acts
from jobs.bulk.words import progress_of, question, result_of
from jobs.errors import NotFoundError, RefusedError, UnclearError
from jobs.lifecycle import Priority
from jobs.models import BulkAction, BulkVerb
from jobs.pages.permissions import may_operate, operators_only
from jobs.queue.filters import JobFilter
from webui.pages.return_address import return_address

#: Nothing brings these back, so they ask even for a single job.
DESTRUCTIVE = (BulkVerb.CANCEL, BulkVerb.DISMISS)
LONGEST_ID = 18


@dataclass(frozen=True, slots=True)
class BulkQuestion:
    """What a form asks for: a verb, and the jobs by number or by what they match."""

    verb: BulkVerb
    chosen: JobFilter | tuple[int, ...]
    priority: Priority | None

    @classmethod
    def of(cls, form: QueryDict) -> BulkQuestion:
        """`row` (`front.12`) is one row's button; else `verb` with `all` and `filter-*`, or with `job`."""
        verb_text, _, row = form.get("row", "").partition(".")
        job_text, _, priority_text = row.partition(".")
        if not row:
            verb_text, priority_text = form.get("verb", ""), form.get("priority", "")
        if verb_text not in BulkVerb.values:
            raise UnclearError("Nothing was done: the form did not say what to do.")
        verb = BulkVerb(verb_text)
        return cls(verb, _chosen(form, job_text), _priority(verb, priority_text))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """As hidden fields, which `of` reads back."""
        fields = [("verb", str(self.verb))]
        if self.priority is not None:
            fields.append(("priority", str(self.priority.value)))
        if isinstance(self.chosen, JobFilter):
            return [*fields, ("all", "1"), *((f"filter-{k}", v) for k, v in self.chosen.query().items())]
        return [*fields, *(("job", str(job_id)) for job_id in self.chosen)]

    @property
    def must_ask(self) -> bool:
        many = isinstance(self.chosen, JobFilter) or len(self.chosen) > acts.CHUNK
        return many or self.verb in DESTRUCTIVE


def _chosen(form: QueryDict, row: str) -> JobFilter | tuple[int, ...]:
    if not row and form.get("all") == "1":
        prefix = "filter-"
        found = {name.removeprefix(prefix): form.get(name, "") for name in form if name.startswith(prefix)}
        return JobFilter.from_query(found)
    texts = [row] if row else form.getlist("job")
    ids = tuple(int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= LONGEST_ID)
    if not ids:
        raise UnclearError("Nothing was done: no job is chosen. Choose rows by their boxes first.")
    return ids


def _priority(verb: BulkVerb, text: str) -> Priority | None:
    if verb is not BulkVerb.PRIORITY:
        return None
    if text not in {str(value) for value in Priority.values}:
        raise UnclearError("Nothing was done: choose the new priority first.")
    return Priority(int(text))


@require_POST
@operators_only
def bulk_ask(request: HttpRequest) -> HttpResponse:
    """Do a small harmless act at once; for all others say the number and ask."""
    try:
        asked = BulkQuestion.of(request.POST)
        if not asked.must_ask:
            return _done(request, _start(request, asked))
        total = acts.count(asked.verb, asked.chosen)
    except (UnclearError, RefusedError) as exc:
        return _answer(request, messages.WARNING, str(exc), status=400)
    if not total:
        return _answer(request, messages.INFO, "No job matches any more, so nothing was done.")
    chosen = asked.chosen if isinstance(asked.chosen, JobFilter) else JobFilter()
    context = {
        "question": question(asked.verb, total, chosen, asked.priority),
        "destructive": asked.verb in DESTRUCTIVE,
        "fields": asked.fields,
        "back": _back(request),
    }
    if "HX-Request" not in request.headers:
        return render(request, "jobs/bulk_ask.html", context)
    # The button wanted a message; the question takes the place of the page.
    answer = render(request, "jobs/_bulk_ask.html", context)
    answer["HX-Retarget"], answer["HX-Reswap"] = "#main", "innerHTML show:window:top"
    return answer


@require_POST
@operators_only
def bulk_start(request: HttpRequest) -> HttpResponse:
    """Begin what was asked about; a small act ends here, a great one on its own page."""
    try:
        act = _start(request, BulkQuestion.of(request.POST))
    except (UnclearError, RefusedError) as exc:
        return _answer(request, messages.WARNING, str(exc), status=400)
    return _done(request, act)


def _start(request: HttpRequest, asked: BulkQuestion) -> BulkAction:
    name = request.user.get_username()
    act = acts.start(asked.verb, asked.chosen, by=name, priority=asked.priority)
    return act if act.total > acts.CHUNK else acts.advance(act.pk)


def _done(request: HttpRequest, act: BulkAction) -> HttpResponse:
    if act.ended_at is None:
        where = f"{reverse('bulk', args=[act.pk])}?{urlencode({'next': _back(request)})}"
        return (
            HttpResponse(headers={"HX-Redirect": where})
            if "HX-Request" in request.headers
            else redirect(where)
        )
    level = messages.SUCCESS if act.done else messages.INFO
    return _answer(request, level, result_of(act))


def _answer(request: HttpRequest, level: int, text: str, *, status: int = 200) -> HttpResponse:
    """A message: in the page that sent the button, or on the page where the form leads back to."""
    messages.add_message(request, level, text)
    if "HX-Request" not in request.headers:
        return redirect(_back(request))
    # htmx swaps no answer that is marked as an error, and this one is to be read.
    answer = render(request, "jobs/_messages.html")
    if status == 200:
        answer["HX-Trigger-After-Swap"] = "moved"
    return answer


def _back(request: HttpRequest) -> str:
    finished = request.POST.get("scope") == "finished"
    return return_address(request, reverse("history" if finished else "queue"))


@require_safe
def bulk_page(request: HttpRequest, action_id: int) -> HttpResponse:
    """How far an act is. For those who may operate the page itself asks for chunk after chunk."""
    return render(request, "jobs/bulk.html", _context(request, _act(action_id), request.GET))


@require_POST
@operators_only
def bulk_advance(request: HttpRequest, action_id: int) -> HttpResponse:
    """Do one chunk; answers with the moving part of the page."""
    try:
        act = acts.advance(action_id)
    except NotFoundError as exc:
        raise Http404(str(exc)) from exc
    if "HX-Request" in request.headers:
        return render(request, "jobs/_bulk_progress.html", _context(request, act, request.POST))
    return redirect(f"{reverse('bulk', args=[action_id])}?{urlencode({'next': _back(request)})}")


@require_POST
@operators_only
def bulk_stop(request: HttpRequest, action_id: int) -> HttpResponse:
    """End an act before its last job; what it has done stays done."""
    try:
        act = acts.stop(action_id, by=request.user.get_username())
    except NotFoundError as exc:
        raise Http404(str(exc)) from exc
    messages.info(request, result_of(act))
    return redirect(f"{reverse('bulk', args=[action_id])}?{urlencode({'next': _back(request)})}")


def _act(action_id: int) -> BulkAction:
    act = BulkAction.objects.filter(pk=action_id).first()
    if act is None:
        raise Http404(f"There is no act {action_id} on many jobs.")
    return act


def _context(request: HttpRequest, act: BulkAction, given: Mapping[str, Any]) -> dict[str, Any]:
    wanted = str(given.get("next", ""))
    safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()})
    return {
        "act": progress_of(act),
        "back": wanted if safe else reverse("queue"),
        "may_operate": may_operate(request),
    }
