"""Acts on many jobs: the question with the exact number, the start, the progress, the stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget, trigger_client_event

from jobs.bulk import acts
from jobs.bulk.words import nothing_fits, progress_of, question, result_of
from jobs.errors import RefusedError, UnclearError
from jobs.lifecycle import JobStatus, Priority
from jobs.models import BulkAction, BulkVerb, Job
from jobs.pages.permissions import may_operate, operators_only
from jobs.queue import control
from jobs.queue.filters import JobFilter
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.return_address import return_address
from webui.pages.sent import whole

#: Nothing brings these back, so they ask even for a single job.
DESTRUCTIVE = (BulkVerb.CANCEL, BulkVerb.DISMISS)
#: New jobs that a result names; more are only counted.
NAMED = 10


@dataclass(frozen=True, slots=True)
class BulkQuestion:
    """What a form asks for: a verb, and the jobs by number or by what they match.

    `running` are those of a selection that run, where it is to be cancelled. `last_id` is the newest job that the
    form knew of, so that it runs nothing again twice.
    """

    verb: BulkVerb
    chosen: JobFilter | tuple[int, ...]
    priority: Priority | None = None
    running: tuple[int, ...] = ()
    last_id: int | None = None

    @classmethod
    def of(cls, form: QueryDict) -> BulkQuestion:
        """`row` (`front.12`) is one row's button; else `verb` with `all` and `filter-*`, or with `job`."""
        verb_text, _, row = form.get("row", "").partition(".")
        job_text, _, priority_text = row.partition(".")
        if not row:
            verb_text, priority_text = form.get("verb", ""), form.get("priority", "")
        if verb_text not in BulkVerb.values:
            raise UnclearError("Nothing was done: the form did not say what to do.")
        verb, chosen, running = BulkVerb(verb_text), _chosen(form, job_text), _ids(form.getlist("running"))
        if chosen == () and not running:
            raise UnclearError("Nothing was done: no job is chosen. Choose rows by their boxes first.")
        last_id = next(iter(_ids(form.getlist("last_id"))), None)
        return cls(verb, chosen, _priority(verb, priority_text), running, last_id)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """As hidden fields, which `of` reads back."""
        fields = [("verb", str(self.verb)), ("last_id", str(self.last_id))]
        if self.priority is not None:
            fields.append(("priority", str(self.priority.value)))
        if isinstance(self.chosen, JobFilter):
            return [*fields, ("all", "1"), *((f"filter-{k}", v) for k, v in self.chosen.query().items())]
        # One field for all of them: Django takes only so many.
        lists = {"job": self.chosen, "running": self.running}
        return [*fields, *((name, ",".join(map(str, ids))) for name, ids in lists.items() if ids)]

    @property
    def must_ask(self) -> bool:
        many = isinstance(self.chosen, JobFilter) or len(self.chosen) > acts.CHUNK
        return many or self.verb in DESTRUCTIVE


def _chosen(form: QueryDict, row: str) -> JobFilter | tuple[int, ...]:
    if not row and form.get("all") == "1":
        prefix = "filter-"
        found = {name.removeprefix(prefix): form.get(name, "") for name in form if name.startswith(prefix)}
        return JobFilter.from_query(found)
    return _ids([row] if row else form.getlist("job"))


def _ids(texts: Iterable[str]) -> tuple[int, ...]:
    """The numbers of fields with one or several (`1,2,3`); what is none is left out."""
    found = map(whole, ",".join(texts).split(","))
    return tuple(number for number in found if number is not None)


def _priority(verb: BulkVerb, text: str) -> Priority | None:
    if verb is not BulkVerb.PRIORITY:
        return None
    if text not in {str(value) for value in Priority.values}:
        raise UnclearError("Nothing was done: choose the new priority first.")
    return Priority(int(text))


@require_POST
@operators_only
def bulk_ask(request: HtmxHttpRequest) -> HttpResponse:
    """Do a small harmless act at once; for all others say the number and ask."""
    back = _back(request)
    try:
        asked = BulkQuestion.of(request.POST)
        return ask(request, asked, back) if asked.must_ask else _start(request, asked, back)
    except (UnclearError, RefusedError) as exc:
        return _answer(request, back, messages.WARNING, str(exc), status=400)


def ask(request: HtmxHttpRequest, asked: BulkQuestion, back: str) -> HttpResponse:
    """The page that says the number and asks; it leads `back` in the end. `RefusedError` for too many jobs."""
    chosen, unfit = JobFilter(), 0
    if isinstance(asked.chosen, JobFilter):
        chosen = asked.chosen
        total = acts.count(asked.verb, chosen)
    else:
        fitting, running = acts.fitting_ids(asked.verb, asked.chosen), tuple[int, ...]()
        if asked.verb is BulkVerb.CANCEL:
            jobs = Job.objects.filter(pk__in=asked.chosen, status=JobStatus.RUNNING, cancel_requested_at=None)
            running = tuple(jobs.values_list("pk", flat=True))
        total = len(fitting) + len(running)
        unfit = len(set(asked.chosen)) - total
        asked = replace(asked, chosen=fitting, running=running)
    if not total:
        return _answer(request, back, messages.INFO, nothing_fits(asked.verb, unfit))
    asked = replace(asked, last_id=acts.newest_id())
    context = {
        "question": question(
            asked.verb, total, chosen, asked.priority, running=len(asked.running), unfit=unfit
        ),
        "destructive": asked.verb in DESTRUCTIVE,
        "fields": asked.fields,
        "back": back,
    }
    if not request.htmx:
        return render(request, "jobs/bulk_ask.html", context)
    # The button wanted a message; the question takes the place of the page.
    answer = retarget(render(request, "jobs/_bulk_ask.html", context), "#main")
    return reswap(answer, "innerHTML show:window:top")  # type: ignore[arg-type]  # htmx takes modifiers there


@require_POST
@operators_only
def bulk_start(request: HtmxHttpRequest) -> HttpResponse:
    """Begin what was asked about; a small act ends here, a great one on its own page."""
    back = _back(request)
    try:
        return _start(request, BulkQuestion.of(request.POST), back)
    except (UnclearError, RefusedError) as exc:
        return _answer(request, back, messages.WARNING, str(exc), status=400)


def _start(request: HtmxHttpRequest, asked: BulkQuestion, back: str) -> HttpResponse:
    name = request.user.get_username()
    # One by one: each node runs one at most.
    for job_id in asked.running:
        messages.info(request, control.cancel(job_id, by=name).message)
    if asked.chosen == ():
        return redirect(back)
    act = acts.start(asked.verb, asked.chosen, by=name, priority=asked.priority, last_id=asked.last_id)
    if act.total <= acts.CHUNK:
        act = acts.advance(act.pk)
    if act.ended_at is None:
        where = bulk_address(act.pk, back)
        return HttpResponseClientRedirect(where) if request.htmx else redirect(where)
    return _answer(request, back, messages.SUCCESS if act.done else messages.INFO, _result(act))


def _result(act: BulkAction) -> str:
    """With links to the first new jobs of a selection that was run again."""
    made: list[int] = []
    if act.verb == BulkVerb.RETRY and "ids" in act.bounds and act.done:
        rows = Job.objects.filter(rerun_of__in=act.bounds["ids"], pk__gt=act.bounds["last_id"]).order_by("id")
        made = list(rows.values_list("pk", flat=True)[:NAMED])
    if not made:
        return result_of(act)
    links = format_html_join(
        ", ", '<a href="{}">job {}</a>', ((reverse("job", args=[pk]), pk) for pk in made)
    )
    more = f" and {act.done - len(made):,} more" if act.done > len(made) else ""
    return format_html("{} New: {}{}.", result_of(act), links, more)


def _answer(request: HtmxHttpRequest, back: str, level: int, text: str, *, status: int = 200) -> HttpResponse:
    """A message: in the page that sent the button, or on the page where the form leads back to."""
    messages.add_message(request, level, text)
    if not request.htmx:
        return redirect(back)
    # htmx swaps no answer that is marked as an error, and this one is to be read.
    answer = render(request, "jobs/_messages.html")
    return trigger_client_event(answer, "moved", after="swap") if status == 200 else answer


def _back(request: HtmxHttpRequest) -> str:
    finished = request.POST.get("scope") == "finished"
    return return_address(request, reverse("history" if finished else "queue"))


def bulk_address(action_id: int, back: str) -> str:
    """The page of an act, which leads `back`."""
    return f"{reverse('bulk', args=[action_id])}?{urlencode({'next': back})}"


@require_safe
def bulk_page(request: HtmxHttpRequest, action_id: int) -> HttpResponse:
    """How far an act is. For those who may operate the page itself asks for chunk after chunk."""
    return render(request, "jobs/bulk.html", _context(request, acts.get(action_id), request.GET))


@require_POST
@operators_only
def bulk_advance(request: HtmxHttpRequest, action_id: int) -> HttpResponse:
    """Do one chunk; answers with the moving part of the page."""
    act = acts.advance(action_id)
    if request.htmx:
        return render(request, "jobs/_bulk_progress.html", _context(request, act, request.POST))
    return redirect(bulk_address(action_id, _back(request)))


@require_POST
@operators_only
def bulk_stop(request: HtmxHttpRequest, action_id: int) -> HttpResponse:
    """End an act before its last job; what it has done stays done."""
    act = acts.stop(action_id, by=request.user.get_username())
    messages.info(request, result_of(act))
    return redirect(bulk_address(action_id, _back(request)))


def _context(request: HtmxHttpRequest, act: BulkAction, given: Mapping[str, Any]) -> dict[str, Any]:
    wanted = str(given.get("next", ""))
    safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()})
    return {
        "act": progress_of(act),
        "back": wanted if safe else reverse("queue"),
        "may_operate": may_operate(request),
    }
