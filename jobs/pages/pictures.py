"""Pictures: the viewer, and the files of results and of what is just being made. None but those that rows name."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.views.decorators.http import require_safe
from django.views.defaults import page_not_found

from jobs.errors import NoThumbnailError
from jobs.models import OutputImage
from jobs.pages.permissions import may_operate
from jobs.pages.ranges import send_file
from jobs.pages.thumbnails import EDGE_PX, thumbnail
from jobs.queue.filters import JobFilter
from jobs.reading.pictures import picture_detail
from jobs.running.live_preview import current_preview
from jobs.running.outputs import file_of

UNKNOWN_TYPE = "application/octet-stream"
#: So many characters of a picture's hash stand in the addresses that pages use.
HASH_CHARS = 12
#: A row never changes, so neither does its picture.
ASK_EACH_TIME = "private, no-cache"
FOR_EVER = "private, max-age=31536000, immutable"
#: The address of a preview names the very picture, but its job may end.
FOR_A_MOMENT = "private, max-age=30"


@require_safe
def picture(request: HttpRequest, output_id: int) -> HttpResponse:
    """One picture large; the filter of the address says through which jobs its arrows lead."""
    chosen = JobFilter.from_query(request.GET)
    detail = picture_detail(output_id, chosen)
    if detail is None:
        return missing(request, f"There is no picture {output_id}. Its number may be mistyped.")
    context = {"picture": detail, "query": urlencode(chosen.query()), "words": chosen.words()}
    context["may_operate"] = may_operate(request)
    return render(request, "jobs/picture_detail.html", context)


@require_safe
def output(request: HttpRequest, output_id: int) -> HttpResponseBase:
    """A result as its very file, or a part of it; `download=1` hands it out under a safe name instead of showing it."""
    row = OutputImage.objects.filter(pk=output_id).first()
    if row is None:
        return missing(request, f"There is no picture {output_id}.")
    etag = f'"{row.sha256}"'
    unchanged = _unchanged(request, row, etag)
    if unchanged is not None:
        return unchanged
    path = file_of(row.path)
    try:
        file = path.open("rb") if path is not None else None
    except OSError:
        file = None
    if file is None:
        return missing(
            request, f"The picture file of job {row.job_id} is gone: it was moved or deleted on disk."
        )
    # What a browser is not to show is handed out as a file.
    suffix = Path(row.path).suffix.lower() if row.media_type else ".bin"
    response = send_file(
        request,
        file,
        etag=etag,
        content_type=row.media_type or UNKNOWN_TYPE,
        filename=f"job-{row.job_id}-{row.stage}-{row.image_index + 1}{suffix}",
        as_attachment=not row.media_type or request.GET.get("download") == "1",
    )
    # That there is no such part belongs to this question alone.
    return (
        response
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        else _told(request, response, row, etag)
    )


@require_safe
def thumb(request: HttpRequest, output_id: int) -> HttpResponseBase:
    """A result, small."""
    row = OutputImage.objects.filter(pk=output_id).first()
    if row is None:
        return missing(request, f"There is no picture {output_id}.")
    etag = f'"{row.sha256}-{EDGE_PX}"'
    unchanged = _unchanged(request, row, etag)
    if unchanged is not None:
        return unchanged
    try:
        content = thumbnail(row)
    except NoThumbnailError as exc:
        return missing(request, str(exc))
    return _told(request, HttpResponse(content, content_type="image/webp"), row, etag)


@require_safe
def poster(request: HttpRequest, output_id: int) -> HttpResponseBase:
    """The first frame of a film, as a picture of its size."""
    row = OutputImage.objects.filter(pk=output_id).first()
    if row is None or not row.is_film:
        return missing(request, f"There is no film {output_id}.")
    etag = f'"{row.sha256}-poster"'
    unchanged = _unchanged(request, row, etag)
    if unchanged is not None:
        return unchanged
    path = file_of(row.poster_path)
    try:
        content = path.read_bytes() if path is not None else b""
    except OSError:
        content = b""
    if not content:
        return missing(request, f"The poster of job {row.job_id} is gone: it was moved or deleted on disk.")
    return _told(request, HttpResponse(content, content_type="image/jpeg"), row, etag)


@require_safe
def preview(request: HttpRequest, node_id: int) -> HttpResponseBase:
    """What the node's running job is just making; `v` is the number that its page was told."""
    found = current_preview(node_id)
    if found is None:
        return missing(request, "There is no picture in the making on this node.")
    number, content = found
    response = HttpResponse(content, content_type="image/webp")
    response["Cache-Control"] = FOR_A_MOMENT if request.GET.get("v") == str(number) else "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def missing(request: HttpRequest, reason: str) -> HttpResponse:
    """404: a page with the reason for a person, a drawing for the place that a picture has on a page."""
    accepted = request.headers.get("Accept", "")
    if "image/" in accepted and "text/html" not in accepted:
        context = {"reason": reason}
        response = render(request, "jobs/picture_missing.svg", context, "image/svg+xml", status=404)
    else:
        response = page_not_found(request, Http404(reason))
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    patch_vary_headers(response, ("Accept",))
    return response


def _unchanged(request: HttpRequest, row: OutputImage, etag: str) -> HttpResponseBase | None:
    """The 304 for who has this picture already."""
    response = get_conditional_response(request, etag=etag)
    return None if response is None else _told(request, response, row, etag)


def _told(request: HttpRequest, response: HttpResponseBase, row: OutputImage, etag: str) -> HttpResponseBase:
    """How long a browser may keep it: for ever where the address has the hash (`v`).

    Numbers alone begin again with another database at the same address, so those are asked for each time.
    """
    asked = request.GET.get("v", "")
    lasts = len(asked) >= HASH_CHARS and row.sha256.startswith(asked)
    response["Cache-Control"] = FOR_EVER if lasts else ASK_EACH_TIME
    response["ETag"] = etag
    response["X-Content-Type-Options"] = "nosniff"
    return response
