"""The web server as `serve` starts it: pages, static files, TLS proxies, its end."""

from __future__ import annotations

import pytest
import requests

from stablenew_site.sign_in_limit import MAX_PER_PAIR
from tests.e2e.stack import Stack
from tests.promises import PATIENCE_S

pytestmark = pytest.mark.stack


def test_serve_gives_pages_and_static_files_and_ends_at_term(stack: Stack) -> None:
    url = stack.start_web()
    page = requests.get(f"{url}/", timeout=60)
    assert page.url == f"{url}/accounts/login/?next=/"
    style = requests.get(f"{url}/static/css/base.css", timeout=60)
    assert (style.status_code, style.headers["Content-Type"].partition(";")[0]) == (200, "text/css")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    stack.processes["web"].terminate()
    assert stack.processes["web"].wait(PATIENCE_S) == 0


def test_behind_a_tls_proxy_only_what_came_through_it_is_answered(stack: Stack) -> None:
    stack.env |= {"STABLENEW_HTTPS": "on", "STABLENEW_ALLOWED_HOSTS": "images.example.org"}
    url = stack.start_web()
    login = f"{url}/accounts/login/"
    through = {"Host": "images.example.org", "X-Forwarded-Proto": "https"}
    answer = requests.get(login, headers=through, timeout=60)
    assert answer.status_code == 200
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    plain = requests.get(login, headers={"Host": "images.example.org"}, allow_redirects=False, timeout=60)
    assert (plain.status_code, plain.headers["Location"]) == (
        301,
        "https://images.example.org/accounts/login/",
    )
    stranger = requests.get(login, headers=through | {"Host": "elsewhere.example.org"}, timeout=60)
    assert stranger.status_code == 400


def test_behind_a_proxy_guesses_are_counted_by_the_address_that_the_proxy_wrote(stack: Stack) -> None:
    stack.env |= {"STABLENEW_HTTPS": "on", "STABLENEW_ALLOWED_HOSTS": "images.example.org"}
    login = f"{stack.start_web()}/accounts/login/"
    through = {
        "Host": "images.example.org",
        "X-Forwarded-Proto": "https",
        "Referer": "https://images.example.org/accounts/login/",
    }
    page = requests.get(login, headers=through, timeout=60)
    token = page.cookies["csrftoken"]

    def guess(forwarded: str) -> int:
        # A client that lies about itself is ahead of what the proxy adds. Secure cookies need a hand on plain HTTP.
        headers = through | {"X-Forwarded-For": forwarded, "Cookie": f"csrftoken={token}"}
        data = {"username": "ada", "password": "guess", "csrfmiddlewaretoken": token}
        return requests.post(login, data, headers=headers, timeout=60).status_code

    tries = [guess(f"10.9.9.{n}, 203.0.113.7") for n in range(MAX_PER_PAIR + 1)]
    assert tries == [200] * MAX_PER_PAIR + [429]
    assert guess("203.0.113.8") == 200


def test_without_a_proxy_nobody_can_claim_to_be_one(stack: Stack) -> None:
    url = stack.start_web()
    answer = requests.get(
        f"{url}/accounts/login/",
        headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "elsewhere.example.org"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert "elsewhere" not in answer.text
    assert "Secure" not in answer.headers["Set-Cookie"]
