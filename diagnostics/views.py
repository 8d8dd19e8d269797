"""Pages that only look: the event stream (Debug Hub), the evidence of failures, the health of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from diagnostics.events import MAX_EVENTS, PAGE_SIZE, EventFilter, json_lines, stream
from diagnostics.evidence.artifacts import ArtifactError, artifacts_of, find_artifact
from diagnostics.health import quick_checks
from diagnostics.permissions import SEE_FAILURES, may_see_failures
from jobs.lifecycle import EventType
from jobs.models import Job
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.sent import whole

#: Beyond all events that there are: times outside of these are taken for them.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What the address asked for; `errors` are sentences about values that could not be read."""

    wanted: EventFilter
    before: int | None
    limit: int
    errors: tuple[str, ...]


def read_query(query: QueryDict) -> EventQuery:
    """Parse `job`, `type`, `since`, `until`, `before`, `limit`; what cannot be read is left out and named."""
    errors: list[str] = []

    def number(name: str) -> int | None:
        text = query.get(name, "").strip()
        found = whole(text)
        if text and found is None:
            errors.append(f"{name}={text[:40]!r} is not a number.")
        return found

    def moment(name: str) -> datetime | None:
        text = query.get(name, "").strip()
        if not text:
            return None
        found = _parse_moment(text)
        if found is None:
            errors.append(f"{name}={text[:40]!r} is not a time. Write it like 2026-01-31T14:05.")
        return found

    event_type = query.get("type", "").strip()
    if event_type and event_type not in EventType.values:
        errors.append(f"type={event_type[:60]!r} is not an event type.")
        event_type = ""
    wanted = EventFilter(
        job_id=number("job"), event_type=event_type or None, since=moment("since"), until=moment("until")
    )
    limit = number("limit") or PAGE_SIZE
    return EventQuery(wanted, number("before"), min(limit, MAX_EVENTS), tuple(errors))


def _parse_moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
        if found is None:
            day = parse_date(text)
            found = None if day is None else datetime(day.year, day.month, day.day)  # noqa: DTZ001
    except ValueError:
        return None
    if found is None:
        return None
    if not EARLIEST.year < found.year < LATEST.year:
        # Nothing was then; and with its time zone such a time may be none that anybody can count with.
        return EARLIEST if found.year <= EARLIEST.year else LATEST
    return timezone.make_aware(found) if timezone.is_naive(found) else found


@require_safe
def events(request: HttpRequest) -> HttpResponse:
    """The Debug Hub: newest events first, filters in the address, older ones by key."""
    query = read_query(request.GET)
    page = stream(query.wanted, before=query.before, limit=min(query.limit, PAGE_SIZE))
    filters = {name: request.GET[name] for name in ("job", "type", "since", "until") if request.GET.get(name)}
    return render(
        request,
        "diagnostics/events_list.html",
        {
            "page": page,
            "errors": query.errors,
            "filters": filters,
            "event_types": EventType.choices,
            "older": urlencode({**filters, "before": page.next_before}) if page.next_before else "",
            "first_page": urlencode(filters),
            "later": query.before is not None,
            "jsonl": urlencode(filters),
        },
    )


@require_safe
def events_jsonl(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The same stream as JSON lines; `limit` up to `MAX_EVENTS`, `before` pages on (see the Link header)."""
    query = read_query(request.GET)
    if query.errors:
        return JsonResponse({"errors": list(query.errors)}, status=400)
    page = stream(query.wanted, before=query.before, limit=query.limit)
    lines: Iterator[str] = json_lines(page.events)
    response = StreamingHttpResponse(lines, content_type="application/x-ndjson; charset=utf-8")
    response["Cache-Control"] = "no-store"
    if page.next_before:
        older = request.GET.copy()
        older["before"] = str(page.next_before)
        response["Link"] = f'<{request.path}?{older.urlencode()}>; rel="next"'
    return response


@require_safe
def artifacts(request: HtmxHttpRequest, job_id: int) -> HttpResponse:
    """The files that the failures of a job left, as a page or as its fragment on the job's page."""
    if not Job.objects.filter(pk=job_id).exists():
        raise Http404(f"There is no job {job_id}. Its number may be mistyped.")
    context = {
        "job_id": job_id,
        "artifacts": artifacts_of(job_id),
        "may_download": may_see_failures(request),
        "in_admin": request.user.is_staff and may_see_failures(request),
    }
    template = "failure_artifacts" if request.htmx else "failure_artifacts_page"
    return render(request, f"diagnostics/{template}.html", context)


@never_cache
@require_safe
def artifact(request: HttpRequest, job_id: int, path: str) -> HttpResponse | FileResponse:
    """One file that a row of this job names, always as a download; no other path leads to a file."""
    if not may_see_failures(request):
        raise PermissionDenied(
            "What a failure left behind may show how your machines are set up. Ask an administrator for the "
            f"permission to view failures ({SEE_FAILURES})."
        )
    try:
        found = find_artifact(job_id, path)
        file = found.file()
        content = file.open("rb")
    except ArtifactError as exc:
        raise Http404(str(exc)) from exc
    except OSError as exc:
        raise Http404(f"The file {found.name} of job {job_id} cannot be read: {exc.strerror}.") from exc
    kind = "application/json" if file.suffix == ".json" else "text/plain; charset=utf-8"
    response = FileResponse(
        content,
        as_attachment=True,
        filename=f"job-{job_id}-{found.name.replace('/', '-')}",
        content_type=kind,
    )
    response["X-Content-Type-Options"] = "nosniff"
    return response


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when everything is well, else 503. Without a login only the names of the checks are told."""
    results = quick_checks()
    ok = all(result.ok for result in results)
    body: dict[str, object] = {
        "status": "ok" if ok else "failing",
        "failing": [result.name for result in results if not result.ok],
        "checks": {result.name: result.ok for result in results},
    }
    if results[0].ok and request.user.is_authenticated:
        body["messages"] = {result.name: result.message for result in results}
        body["remedies"] = {result.name: result.remedy for result in results if result.remedy}
    return JsonResponse(body, status=200 if ok else 503)
