"""Who may change things: users with the permission to change jobs; everybody else who is logged in may look."""

from __future__ import annotations

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest

OPERATE = "jobs.change_job"

#: For views that change something: others get the page that says so (403).
operators_only = permission_required(OPERATE, raise_exception=True)


def may_operate(request: HttpRequest) -> bool:
    return request.user.has_perm(OPERATE)
