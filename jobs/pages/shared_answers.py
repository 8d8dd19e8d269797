"""One composition of what many people ask for at the same moment: the others wait for it and get the same.

Off until `share` is called, by the web server alone: a process that answers one person composes each time. What is
shared belongs to a version of the queue and to what the asking person may see and do; both stand in its key.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template.loader import render_to_string

T = TypeVar("T")

#: How old a composition may be: it tells times, too, and no version counts those.
MAX_AGE_S: Final = 1.0
#: Compositions that are kept, the newest.
KEPT: Final = 64
#: Stands where the token of a form belongs, which is each person's own.
TOKEN_PLACE: Final = f"token-{secrets.token_hex(16)}"


class _Composition:
    __slots__ = ("begun_s", "lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begun_s: float | None = None
        self.value: Any = None


class SharedAnswers:
    """Compositions by key; of one key only one thread composes at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Composition] = OrderedDict()

    def get(self, key: Hashable, compose: Callable[[], T]) -> T:
        """What `compose` made for this key a moment ago, or makes now; what it raises is nobody else's."""
        with self._lock:
            one = self._kept.pop(key, None) or _Composition()
            self._kept[key] = one
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        with one.lock:
            begun_s = self._clock()
            if one.begun_s is None or begun_s - one.begun_s >= MAX_AGE_S:
                one.begun_s = None
                one.value = compose()
                one.begun_s = begun_s
            value: T = one.value
            return value


_shared: SharedAnswers | None = None


def share(answers: SharedAnswers | None = None) -> None:
    """From now on this process shares; None again: a new start."""
    global _shared
    _shared = answers or SharedAnswers()


def stop_sharing() -> None:
    global _shared
    _shared = None


def shared(key: Hashable, compose: Callable[[], T]) -> T:
    return compose() if _shared is None else _shared.get(key, compose)


def shared_page(
    request: HttpRequest, template: str, key: Hashable, context: Callable[[], dict[str, Any]]
) -> HttpResponse:
    """A rendered template whose context depends on the key and the address alone; tokens are put in for each person."""

    def compose() -> str:
        given = {"csrf_token": TOKEN_PLACE, "request": {"path": request.path}}
        return render_to_string(template, {**given, **context()})

    text = shared((template, request.path, key), compose)
    if TOKEN_PLACE in text:
        text = text.replace(TOKEN_PLACE, get_token(request))
    return HttpResponse(text)
