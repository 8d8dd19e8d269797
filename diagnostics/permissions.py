"""Who may see failures and download their evidence; `Job` itself is for everybody who is logged in."""

from __future__ import annotations

from django.http import HttpRequest

SEE_FAILURES = "diagnostics.view_failedjob"
#: Prompts leave the installation: more than to see them on a page, so it is a permission of its own.
BUNDLE_PROMPTS = "diagnostics.bundle_prompts"


def may_see_failures(request: HttpRequest) -> bool:
    return request.user.has_perm(SEE_FAILURES)


def may_bundle_prompts(request: HttpRequest) -> bool:
    return request.user.has_perms((SEE_FAILURES, BUNDLE_PROMPTS))
