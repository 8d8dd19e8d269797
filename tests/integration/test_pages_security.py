"""Every page obeys the content security policy that it is sent with, and stays on this server."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_job, make_node, make_pack, make_runner, make_user, submit
from tests.integration.failed_jobs import fail_in_retry
from tests.integration.finished_jobs import complete
from tests.markup import markup

pytestmark = pytest.mark.django_db

#: Attributes that make a browser fetch or send something.
FETCHING = {"src", "href", "action", "hx-get", "hx-post", "srcset", "poster", "data", "formaction"}


class Audit(HTMLParser):
    """Collects what the policy would block and where a page points."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "style" or (tag == "script" and not values.get("src")):
            self.blocked.append(tag)
        for name, value in attrs:
            if name == "style" or name.startswith(("on", "hx-on")) or (value or "").startswith("javascript:"):
                self.blocked.append(f"{tag} {name}")
            if name in FETCHING and value:
                self.targets.append(value)


@pytest.fixture
def pages() -> list[str]:
    node = make_node(simulated=True, start_command="simulator")
    runner = make_runner()
    revision = make_pack(text="a castle\nneg: blurry\nstray\n\nb [[token]]\n")
    submit(make_pack(), repeat=4)
    completed, failed = complete(runner), fail_in_retry(runner)
    waiting = make_job()
    urls = [reverse(name) for name in ("queue", "history", "jobs", "packs", "events", "login")]
    urls += [reverse("job", args=[job.pk]) for job in (completed, failed, waiting)]
    urls += [reverse("pack", args=[revision.pack_id]), "/nothing/here/", reverse("node-strip")]
    urls += [reverse(name, args=[node.pk]) for name in ("node", "node-log")]
    urls += [reverse("failure-artifacts", args=[failed.pk])]
    return urls


def test_pages_hold_nothing_inline_and_point_nowhere_else(pages: list[str], client: Client) -> None:
    client.force_login(make_user(is_superuser=True, is_staff=True))
    for url in pages:
        answer = client.get(url)
        audit = Audit()
        audit.feed(markup(answer))
        assert not audit.blocked, url
        assert audit.targets, url
        assert not [target for target in audit.targets if urlsplit(target).netloc], url


def test_every_answer_carries_the_policy(pages: list[str], client: Client) -> None:
    client.force_login(make_user(is_superuser=True))
    for url in pages:
        answer = client.get(url)
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "style-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["X-Content-Type-Options"] == "nosniff"


def test_every_page_says_that_a_simulator_draws(pages: list[str], client: Client) -> None:
    client.force_login(make_user(is_superuser=True, is_staff=True))
    for url in [*pages, reverse("admin:index")]:
        assert "come from the built-in simulator, not from real models" in markup(client.get(url)), url


def test_no_page_speaks_of_a_simulator_where_there_is_none(client: Client) -> None:
    make_runner()
    client.force_login(make_user())
    assert "simulator" not in markup(client.get(reverse("queue")))


def test_prompts_are_escaped(client: Client) -> None:
    revision = make_pack(text="<script >alert(1)</script> a castle\nneg: <b>blurry</b>\n")
    submit(revision)
    make_runner()
    client.force_login(make_user())
    for url in (reverse("queue"), reverse("pack", args=[revision.pack_id]), reverse("jobs")):
        page = markup(client.get(url))
        assert "<script >alert" not in page
        assert "&lt;script &gt;alert" in page


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["queue", "history", "packs", "nodes", "login"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_no_cache_keeps_a_page(client: Client, name: str, signed_in: bool) -> None:
    if signed_in:
        client.force_login(make_user("otto"))
    kept = client.get(reverse(name)).headers["Cache-Control"]
    assert "no-store" in kept
    assert "private" in kept
