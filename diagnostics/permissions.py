"""Who may see failures and download their evidence; `Job` itself is for everybody who is logged in."""

from __future__ import annotations

from django.http import HttpRequest

SEE_FAILURES = "diagnostics.view_failedjob"


def may_see_failures(request: HttpRequest) -> bool:
    return request.user.has_perm(SEE_FAILURES)
