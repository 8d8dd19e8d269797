"""The page that asks before an act on many jobs, as a browser answers it."""

from __future__ import annotations

import html
import re
from typing import Any

from django.test import Client

from tests.markup import markup

ASK = "/bulk/ask/"
START = "/bulk/start/"


def hidden(text: str, action: str = START) -> dict[str, list[str]]:
    """The hidden fields of the first form on a page that is sent there."""
    form = text[text.index(f'action="{action}"') :].partition("</form>")[0]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form):
        found.setdefault(name, []).append(html.unescape(value))
    found.pop("csrfmiddlewaretoken", None)
    return found


def confirm(client: Client, asked: Any) -> str:
    """Press the button of the question; the text of the page that it leads to."""
    answer = client.post(START, hidden(markup(asked)), follow=True)
    assert answer.status_code == 200
    return html.unescape(markup(answer))
