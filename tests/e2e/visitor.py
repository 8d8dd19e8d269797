"""Somebody at a browser, without the browser: signs in, reads pages, presses buttons."""

from __future__ import annotations

import re

import requests

from tests.e2e.stack import Stack

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Visitor:
    """`Visitor.of(stack)` is the admin whom `up` has made."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self._session = requests.Session()
        page = self._session.get(f"{url}/", timeout=60)
        token = TOKEN.search(page.text)
        assert token, page.text
        form = {"username": "admin", "password": password, "csrfmiddlewaretoken": token[1]}
        self.welcome = self._session.post(page.url, data=form, headers={"Referer": page.url}, timeout=60)
        assert self.welcome.status_code == 200, self.welcome.text
        assert "sessionid" in self._session.cookies

    @classmethod
    def of(cls, stack: Stack) -> Visitor:
        said = stack.wait_until(
            lambda: re.search(r"password (\S+)", stack.log("up")), "`up` tells a password"
        )
        return cls(stack.web_url, said[1])

    def read(self, path: str, *, fragment: bool = False) -> str:
        """A page, or what its script would fetch."""
        headers = {"HX-Request": "true"} if fragment else {}
        answer = self._session.get(f"{self.url}{path}", headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.text

    def press(self, path: str, **form: object) -> str:
        """Posts a form as the page's button would; returns the page that follows."""
        token = self._session.cookies["csrftoken"]
        answer = self._session.post(
            f"{self.url}{path}",
            data={**form, "csrfmiddlewaretoken": token},
            headers={"Referer": f"{self.url}/"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.text
