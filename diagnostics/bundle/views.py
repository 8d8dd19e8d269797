"""The bundle of a job as a download: without its prompts by a link, with them only by a button that leaves an event."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from diagnostics.bundle.building import BundlesBusyError, build_bundle
from diagnostics.permissions import BUNDLE_PROMPTS, SEE_FAILURES, may_bundle_prompts, may_see_failures

RETRY_AFTER_S = 5


@never_cache
@require_safe
def bundle(request: HttpRequest, job_id: int) -> HttpResponse | FileResponse:
    if not may_see_failures(request):
        raise PermissionDenied(
            "A bundle may show how your machines are set up. Ask an administrator for the permission to view "
            f"failures ({SEE_FAILURES})."
        )
    return _handed_out(request, job_id)


@never_cache
@require_POST
def bundle_with_prompts(request: HttpRequest, job_id: int) -> HttpResponse | FileResponse:
    if not may_bundle_prompts(request):
        raise PermissionDenied(
            "A bundle with prompts takes them out of this installation. Ask an administrator for the permission to "
            f"take out bundles with prompts ({BUNDLE_PROMPTS})."
        )
    return _handed_out(request, job_id, prompts_for=request.user.get_username())


def _handed_out(request: HttpRequest, job_id: int, *, prompts_for: str = "") -> HttpResponse | FileResponse:
    """Streamed from its file. 503 where others are being made just now, or the disk is full."""
    try:
        made = build_bundle(job_id, prompts_for=prompts_for)
    except (BundlesBusyError, OSError) as exc:
        reason = (
            str(exc)
            if isinstance(exc, BundlesBusyError)
            else f"The bundle cannot be written: {exc.strerror}."
        )
        answer = render(
            request, "diagnostics/bundle_refused.html", {"job_id": job_id, "reason": reason}, status=503
        )
        answer["Retry-After"] = str(RETRY_AFTER_S)
        return answer
    response = FileResponse(made.file, as_attachment=True, filename=made.name, content_type="application/zip")
    response["Content-Length"] = str(made.size_bytes)
    response["X-Content-Type-Options"] = "nosniff"
    return response
