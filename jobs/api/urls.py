"""Addresses of the API, below `/api/v1/`. Who is signed out is told so in JSON, not led to a page."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, path

import webui.pages.sent  # noqa: F401 - registers <id:...>
from jobs.api.operations import api, document


def _operations() -> Iterator[URLPattern]:
    for pattern in api.urls[0]:
        # The root answers nothing; it would only tell where pages of documentation are.
        if isinstance(pattern, URLPattern) and pattern.callback is not None and pattern.name != "api-root":
            login_not_required(pattern.callback)
            yield pattern


urlpatterns = [*_operations(), path("openapi.json", login_not_required(document), name="api-document")]
