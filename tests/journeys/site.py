"""The pages as a person without a browser sees them: follow links, send the forms that stand on a page."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import requests

TIMEOUT_S = 30.0


class _Forms(HTMLParser):
    """Every form of a page: where it goes, and the values that it carries as it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((values.get("action", ""), {}))
            self._open = True
        elif tag == "input" and self._open and values.get("type") not in ("checkbox", "file", "submit"):
            self.forms[-1][1][values.get("name", "")] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False


class Site:
    """One visitor's session. Every answer that is no success fails the test with the page's words."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self.page = ""
        self.address = url

    def get(self, path: str) -> str:
        return self._took(self._session.get(self._full(path), timeout=TIMEOUT_S))

    def picture(self, path: str) -> bytes:
        answer = self._session.get(self._full(path), timeout=TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "image/png"
        return answer.content

    def send(self, action: str, files: Any = None, **values: str) -> str:
        """Send the form of this page whose address ends with `action`, with these values changed."""
        parser = _Forms()
        parser.feed(self.page)
        target, carried = next((form for form in parser.forms if form[0].endswith(action)), (None, {}))
        assert target is not None, f"no form for {action!r} on {self.address}: {[f[0] for f in parser.forms]}"
        headers = {"Referer": self.address}
        answer = self._session.post(
            self._full(target or self.address),
            data=carried | values,
            files=files,
            headers=headers,
            timeout=TIMEOUT_S,
        )
        return self._took(answer)

    def log_in(self, name: str, password: str) -> None:
        self.get("/")
        assert "/accounts/login/" in self.address
        self.send("", username=name, password=password)
        assert "/accounts/login/" not in self.address

    def links(self, pattern: str) -> list[str]:
        """Addresses on this page that match, each once, in order."""
        found = re.findall(rf'(?:href|src)="({pattern})"', self.page)
        return list(dict.fromkeys(unescape(link) for link in found))

    def _full(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.url}{path}"

    def _took(self, answer: requests.Response) -> str:
        assert answer.status_code == 200, f"{answer.status_code} {answer.url}\n{answer.text[:2000]}"
        self.page, self.address = answer.text, answer.url
        return self.page
