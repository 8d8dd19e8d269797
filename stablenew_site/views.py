"""What belongs to no app: logging in, and what robots may read."""

from __future__ import annotations

import logging
import math
import time
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import (
    DisallowedHost,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRefresh

from stablenew_site.sign_in_limit import Attempt
from webui.pages.htmx import HtmxHttpRequest

logger = logging.getLogger(__name__)

_UNREADABLE: Final = "Go back, reload the page and try again."
#: Why a request is refused before any view, and what to do.
_REFUSED: Final = {
    TooManyFilesSent: f"More than {settings.DATA_UPLOAD_MAX_NUMBER_FILES:,} files were sent at once. Send fewer, in "
    "several goes.",
    TooManyFieldsSent: f"The form holds more than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,} entries. Choose fewer at "
    "once.",
    RequestDataTooBig: f"The form holds more than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024**2} MiB of text. "
    "Shorten it, or send a file.",
    DisallowedHost: "StableNew does not answer under this name. If the address is right, whoever runs it adds the name "
    "to STABLENEW_ALLOWED_HOSTS.",
}


class SignInView(LoginView):
    """The login page. A poll that was redirected here makes its page reload instead of swapping in a form."""

    request: HtmxHttpRequest

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.request.htmx:
            return HttpResponseClientRefresh()
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Too many attempts are refused before the password is looked at."""
        until_s = self._attempt().count()
        return super().post(request, *args, **kwargs) if until_s is None else self._refused(until_s)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        self._attempt().succeeded()
        return super().form_valid(form)

    def _attempt(self) -> Attempt:
        return Attempt(self.request.POST.get("username", ""), self.request.META.get("REMOTE_ADDR", ""))

    def _refused(self, until_s: float) -> HttpResponse:
        wait_s = max(1, math.ceil(until_s - time.time()))
        attempt = self._attempt()
        logger.warning(
            "Too many attempts to log in from %s; the next is allowed in %s s.",
            attempt.address,
            wait_s,
            extra={"event": "site.login_refused", "address": attempt.address},
        )
        # A form with data would check the password when the page looks at its errors.
        form = AuthenticationForm(self.request, initial={"username": attempt.name})
        context = self.get_context_data(
            form=form, allowed_at=datetime.fromtimestamp(until_s, UTC), wait_minutes=math.ceil(wait_s / 60)
        )
        return self.render_to_response(context, status=429, headers={"Retry-After": str(wait_s)})


@login_not_required
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """There is one login page: the admin's own would have to be limited as well."""
    query = request.META.get("QUERY_STRING", "")
    return redirect(f"{reverse('login')}?{query or 'next=' + reverse('admin:index')}")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The page for what is refused before any view: nothing was done, and why."""
    why = next((words for kind, words in _REFUSED.items() if isinstance(exception, kind)), _UNREADABLE)
    return HttpResponseBadRequest(render_to_string("400.html", {"why": why}))


@login_not_required
@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain")
