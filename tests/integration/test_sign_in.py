"""The login page when somebody guesses: refused before the password is looked at, told until when."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from stablenew_site.sign_in_limit import MAX_PER_PAIR, WINDOW_S
from tests.factories import make_user
from tests.markup import markup

pytestmark = pytest.mark.django_db
RIGHT = "correct horse"


@pytest.fixture(autouse=True)
def nobody_tried() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def log_in(client: Client, password: str, name: str = "ada", address: str = "10.0.0.1") -> Any:
    data = {"username": name, "password": password}
    return client.post(reverse("login"), data, REMOTE_ADDR=address)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The time, which stands still."""
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    monkeypatch.setattr(time, "time", at.timestamp)
    return at


@pytest.fixture
def guessed(client: Client) -> None:
    """As many wrong passwords as are looked at."""
    make_user("ada")
    for _ in range(MAX_PER_PAIR):
        assert "do not match" in markup(log_in(client, "wrong"))


def test_after_too_many_guesses_even_the_right_password_is_refused(
    client: Client, guessed: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "stablenew_site.views"):
        logging.getLogger("stablenew_site").addHandler(caplog.handler)
        answer = log_in(client, RIGHT)
        logging.getLogger("stablenew_site").removeHandler(caplog.handler)
    assert answer.status_code == 429
    assert "_auth_user_id" not in client.session
    [record] = [record for record in caplog.records if record.name == "stablenew_site.views"]
    assert record.__dict__["event"] == "site.login_refused"
    assert RIGHT not in record.getMessage()


def test_the_page_says_when_to_try_again(client: Client, noon: datetime, guessed: None) -> None:
    answer = log_in(client, RIGHT)
    text = markup(answer)
    assert int(answer["Retry-After"]) == WINDOW_S
    assert f">{noon + timedelta(seconds=WINDOW_S):%H:%M}</time> (in 15 minutes)" in text
    assert "Too many attempts to log in as ada." in text
    assert "do not match" not in text
    assert 'value="ada"' in text
    assert RIGHT not in text


def test_others_and_those_who_are_logged_in_are_not_touched(guessed: None) -> None:
    make_user("ben")
    logged_in = Client()
    assert log_in(logged_in, RIGHT, address="10.0.0.2").status_code == 302
    assert log_in(Client(), RIGHT, "ben").status_code == 302
    assert log_in(Client(), RIGHT).status_code == 429
    assert logged_in.get(reverse("queue")).status_code == 200


def test_a_right_password_clears_the_mistakes_before_it(client: Client) -> None:
    make_user("ada")
    for _ in range(3):
        for _ in range(MAX_PER_PAIR - 1):
            log_in(client, "wrong")
        assert log_in(client, RIGHT).status_code == 302


def test_the_admins_own_address_checks_no_password(client: Client) -> None:
    make_user("ada", is_staff=True)
    data = {"username": "ada", "password": RIGHT, "next": "/admin/"}
    answer = client.post(reverse("admin:login"), data)
    assert answer["Location"].startswith(reverse("login"))
    assert "_auth_user_id" not in client.session


def test_a_session_ends_and_its_cookies_are_for_no_script(client: Client) -> None:
    make_user("ada")
    client.get(reverse("login"))
    log_in(client, RIGHT)
    session, token = client.cookies["sessionid"], client.cookies["csrftoken"]
    assert session["max-age"] == settings.SESSION_COOKIE_AGE == 14 * 24 * 3600
    for cookie in (session, token):
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
