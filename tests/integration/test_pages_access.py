"""Who may open and change what, tried on every address that the site has."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import NoReverseMatch, resolve, reverse

from jobs.models import Job, QueueControl
from stablenew_site.roles import ROLES, Role
from tests.factories import make_user
from tests.integration.site_addresses import (
    ALL,
    API,
    CHANGING,
    ENTRIES,
    GUARDED,
    OPEN,
    POST_ONLY,
    Entry,
    admin_addresses,
    make_addresses,
)
from tests.markup import markup

pytestmark = pytest.mark.django_db

#: Nobody who is logged in, and each role.
WHO = (None, *Role)
RANK = {who: rank for rank, who in enumerate(WHO)}
#: A message on the job's page, which is none, says so.
TOLD_OTHERWISE = {"job-rerun"}
#: What changes no job, and is refused with a permission of its own.
TAKING_OUT = {"bundle-with-prompts"}
SERVED, LOGIN, FORBIDDEN, NOT_SO = "served", "sent to the login", "forbidden", "method refused"
SIGNED_OUT = "told to sign in"


@pytest.fixture
def addresses() -> dict[str, str]:
    """Every named address, with the ids of rows that exist."""
    return make_addresses()


def expected(name: str, entry: Entry, who: Role | None, method: str) -> str:
    if who is None and entry.least is not None:
        if name not in API:
            return LOGIN
        return SIGNED_OUT if method in entry.methods else NOT_SO
    if method not in entry.methods:
        return NOT_SO
    return SERVED if RANK[who] >= RANK[entry.least] else FORBIDDEN


def seen(status_code: int, location: str) -> str:
    if status_code == 302 and location.startswith(f"{reverse('login')}?next="):
        return LOGIN
    return {401: SIGNED_OUT, 403: FORBIDDEN, 405: NOT_SO}.get(status_code, SERVED)


def test_every_address_has_an_entry() -> None:
    assert sorted(ENTRIES) == ALL


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_address_serves_whom_it_should(
    addresses: dict[str, str], client: Client, who: Role | None, method: str
) -> None:
    user = make_user(role=who)
    wrong = []
    for name in sorted(set(ENTRIES) & set(addresses) - {"admin-login"}):
        # Logging out is one of the addresses.
        if who is not None:
            client.force_login(user)
        answer = client.get(addresses[name]) if method == "GET" else client.post(addresses[name])
        should = expected(name, ENTRIES[name], who, method)
        # A page is a page; a form without data may be refused as such.
        fits = answer.status_code == 200 if method == "GET" else answer.status_code in (200, 302, 400, 404)
        if seen(answer.status_code, answer.headers.get("Location", "")) != should or (
            should == SERVED and not fits
        ):
            wrong.append(f"{method} {name}: {answer.status_code}, not {should}")
    assert not wrong


@pytest.mark.parametrize("who", WHO)
def test_django_admin_serves_nobody_without_staff_status(client: Client, who: Role | None) -> None:
    if who is not None:
        client.force_login(make_user(role=who))
    found = admin_addresses()
    assert len(found) > 70
    for address in found:
        for answer in (client.get(address), client.post(address)):
            assert answer.status_code == 302, address
            where = answer["Location"]
            assert where.startswith((reverse("login"), reverse("admin:login"))) or (
                address == reverse("admin:logout") and where == reverse("admin:index")
            ), address


@pytest.mark.parametrize("who", Role)
def test_django_admin_shows_staff_the_tables_of_their_role(client: Client, who: Role) -> None:
    client.force_login(make_user(role=who, is_staff=True))
    for model in admin.site._registry:
        app, name = model._meta.app_label, model._meta.model_name
        answer = client.get(reverse(f"admin:{app}_{name}_changelist"))
        assert answer.status_code == (200 if f"{app}.view_{name}" in ROLES[who] else 403), name


@pytest.mark.parametrize("who", Role)
def test_django_admin_lets_no_role_change_a_row(addresses: dict[str, str], client: Client, who: Role) -> None:
    user = make_user(role=who, is_staff=True)
    client.force_login(user)
    before = (user.password, Job.objects.count())
    for model in admin.site._registry:
        place = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        arguments = [row.pk if row else 1]
        assert client.get(reverse(f"{place}_add")).status_code == 403, place
        assert client.post(reverse(f"{place}_add")).status_code == 403, place
        for page in ("change", "delete"):
            answer = client.post(reverse(f"{place}_{page}", args=arguments), {"post": "yes"})
            # A row that is not there leads back to the index.
            assert answer.status_code in (403, 302), f"{place} {page}"
            assert row is None or answer.status_code == 403, f"{place} {page}"
    word = reverse("admin:auth_user_password_change", args=[user.pk])
    assert (
        client.post(word, {"password1": "a new long word", "password2": "a new long word"}).status_code == 403
    )
    user.refresh_from_db()
    assert (user.password, Job.objects.count()) == before


def test_there_is_one_login_page(client: Client) -> None:
    make_user("ada", is_staff=True)
    there = f"{reverse('admin:login')}?next=/admin/jobs/job/"
    data = {"username": "ada", "password": "correct horse"}
    for answer in (client.get(there), client.post(there, data)):
        assert answer["Location"] == f"{reverse('login')}?next=/admin/jobs/job/"
    assert client.get(reverse("admin:login"))["Location"] == f"{reverse('login')}?next=/admin/"
    assert "_auth_user_id" not in client.session
    assert (
        client.post(f"{reverse('login')}?next=/admin/", data | {"next": "/admin/"})["Location"] == "/admin/"
    )


def test_nobody_is_sent_to_the_login_from_every_address(addresses: dict[str, str], client: Client) -> None:
    for name, address in addresses.items():
        if name in OPEN | API:
            continue
        for answer in (client.get(address), client.post(address)):
            assert answer.status_code == 302, name
            assert answer["Location"].startswith(reverse("login")), name
    assert QueueControl.objects.get().paused is False


def test_open_addresses_answer_without_a_login(addresses: dict[str, str], client: Client) -> None:
    answers = {name: client.get(addresses[name]).status_code for name in OPEN}
    assert answers == {"healthz": 200, "robots": 200, "login": 200, "admin-login": 302}


def test_viewer_sees_every_page_and_changes_nothing(addresses: dict[str, str], client: Client) -> None:
    client.force_login(make_user())
    for name in sorted(set(ENTRIES) & set(addresses) - POST_ONLY - GUARDED - {"admin-login"}):
        assert client.get(addresses[name]).status_code == 200, name
    before = list(Job.objects.values_list("status", flat=True))
    for name in CHANGING:
        answer = client.post(addresses[name])
        assert answer.status_code == 403, name
        words = "You may not open this" if name in TAKING_OUT else "You may look, but not change this"
        assert words in markup(answer), name
    assert list(Job.objects.values_list("status", flat=True)) == before
    assert QueueControl.objects.get().paused is False


def test_guarded_addresses_open_with_their_permission_alone(
    addresses: dict[str, str], client: Client
) -> None:
    permissions = {
        "failure-artifact": "diagnostics.view_failedjob",
        "bundle": "diagnostics.view_failedjob",
        "node-attach": "webui.change_node",
        "node-edit": "webui.change_node",
        "node-remove": "webui.change_node",
        "new-video": "jobs.change_job",
        "new-edit": "jobs.change_job",
    }
    assert set(permissions) == GUARDED
    for name, permission in permissions.items():
        user = make_user()
        client.force_login(user)
        assert client.get(addresses[name]).status_code == 403, name
        user.user_permissions.add(Permission.objects.get(codename=permission.partition(".")[2]))
        assert client.get(addresses[name]).status_code == 200, name


def test_viewer_sees_no_button_that_would_be_refused(addresses: dict[str, str], client: Client) -> None:
    viewer = make_user()
    client.force_login(viewer)
    waiting = Job.objects.get(status="QUEUED")
    pages = [addresses[name] for name in ("queue", "packs", "pack", "nodes")]
    for url in [*pages, reverse("job", args=[waiting.pk])]:
        actions = re.findall(r'action="([^"]+)"', markup(client.get(url)))
        assert not {resolve(action).url_name for action in actions} & CHANGING, url
        client.force_login(make_user(is_superuser=True))
        offered = re.findall(r'action="([^"]+)"', markup(client.get(url)))
        assert {resolve(action).url_name for action in offered} - {"logout"}, url
        client.logout()
        client.force_login(viewer)


def unknown() -> dict[str, str]:
    """Every address that takes one number, with one that nothing has."""
    found = {}
    for name in ALL:
        for key in ("job_id", "output_id", "pack_id", "submission_id", "node_id", "action_id"):
            with suppress(NoReverseMatch):
                found[name] = reverse(name, kwargs={key: 4711})
    return found


@pytest.mark.parametrize("name", sorted(unknown().keys() - TOLD_OTHERWISE - API))
def test_a_number_that_nothing_has_gets_a_page_that_says_so(client: Client, name: str) -> None:
    client.force_login(make_user(is_superuser=True))
    answer = client.post(unknown()[name]) if name in POST_ONLY else client.get(unknown()[name])
    assert answer.status_code == 404
    assert re.search('<h1 id="what">There is nothing here</h1><p>There is no ', markup(answer))


def test_addresses_that_change_something_refuse_get(addresses: dict[str, str], client: Client) -> None:
    client.force_login(make_user(is_superuser=True))
    for name in POST_ONLY:
        assert client.get(addresses[name]).status_code == 405, name


def test_post_without_a_csrf_token_changes_nothing(addresses: dict[str, str]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(is_superuser=True))
    answer = client.post(addresses["queue-pause"])
    assert answer.status_code == 403
    assert "too old" in markup(answer)
    assert QueueControl.objects.get().paused is False


def test_a_poll_without_a_login_makes_its_page_reload(client: Client) -> None:
    headers = {"HX-Request": "true"}
    answer = client.get(reverse("queue-live"), headers=headers, follow=True)
    assert answer.content == b""
    assert answer["HX-Refresh"] == "true"


def test_login_and_logout(client: Client) -> None:
    make_user("ada")
    wrong = client.post(reverse("login"), {"username": "ada", "password": "nothing"})
    assert "do not match" in markup(wrong)
    right = client.post(reverse("login"), {"username": "ada", "password": "correct horse"})
    assert right.headers["Location"] == reverse(settings.LOGIN_REDIRECT_URL)
    assert client.post(reverse("logout")).headers["Location"] == reverse("login")
    assert client.get(reverse("queue")).status_code == 302
