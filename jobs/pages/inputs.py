"""Input pictures, whole and small, for whoever may see results. None but those that rows name."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from jobs.errors import NoThumbnailError, RecordChangedError
from jobs.inputs.store import open_input
from jobs.models import InputPicture
from jobs.pages.pictures import FOR_EVER, missing
from jobs.pages.thumbnails import EDGE_PX, thumbnail_of_input

#: By what the store says of their content; anything else is handed out as a file.
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@require_safe
def input_picture(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """A picture as it was given."""
    row = InputPicture.objects.filter(sha256=sha256).first()
    if row is None:
        return missing(request, f"There is no input picture {sha256[:12]}.")
    etag = f'"{sha256}"'
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        return _told(unchanged, etag)
    try:
        content = open_input(sha256)
    except (RecordChangedError, OSError) as exc:
        return missing(request, str(exc))
    shown = TYPES.get(row.format)
    response = HttpResponse(content, content_type=shown or "application/octet-stream")
    if shown is None:
        response["Content-Disposition"] = f'attachment; filename="input-{sha256[:12]}.bin"'
    return _told(response, etag)


@require_safe
def input_thumb(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """It, small."""
    if not InputPicture.objects.filter(sha256=sha256).exists():
        return missing(request, f"There is no input picture {sha256[:12]}.")
    etag = f'"{sha256}-{EDGE_PX}"'
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        return _told(unchanged, etag)
    try:
        content = thumbnail_of_input(sha256, lambda: open_input(sha256))
    except (NoThumbnailError, RecordChangedError, OSError) as exc:
        return missing(request, str(exc))
    return _told(HttpResponse(content, content_type="image/webp"), etag)


def _told(response: HttpResponseBase, etag: str) -> HttpResponseBase:
    """Its address is its hash."""
    response["Cache-Control"] = FOR_EVER
    response["ETag"] = etag
    response["X-Content-Type-Options"] = "nosniff"
    return response
