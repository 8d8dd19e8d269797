"""Whatever anybody sends to whichever address: an answer in words, never a 500.

What a view reads is found out by watching it, so that a new address or field is tried without a word here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from jobs.models import Job, PackRevision
from stablenew_site.roles import Role
from tests.factories import make_user
from tests.integration.site_addresses import admin_addresses, make_addresses
from webui.models import Node

pytestmark = pytest.mark.django_db

NUMBERS: Final = ("²", "9" * 19, "9" * 5_000, "-1")
TIMES: Final = ("0001-01-01T00:00-14:00", "9999-12-31T23:59+14:00")
TEXTS: Final = (
    "\0",
    "\u202etxt.exe\n",
    "x" * 10_000,
    "[" * 9_000,
    "txt2img.steps=" + "[" * 9_000,
    "txt2img.steps=" + "9" * 5_000,
    "1-999999," * 220,
    "http://a..b/",
    f"http://{'a' * 70}.example/",
    "http://[::1",
    "../../etc/passwd",
)
#: By method; a form has fields for every kind of text.
VALUES: Final = {"get": (*NUMBERS, *TIMES, *TEXTS[:3]), "post": (*NUMBERS, *TIMES, *TEXTS)}
#: For those who may do little: what they may not do is refused before it is read.
FEW: Final = ("²", "0001-01-01T00:00-14:00", "\0")
IDS: Final = ("²", "0", "9" * 18, "9223372036854775808", "9" * 5_000, "1%00", "%2e%2e")
WHO: Final = (None, *Role)
#: Who asks, and which of how many parts of the addresses: all of them with every value are long for one test.
SHARES: Final = [
    (who, part, parts) for who in WHO for parts in (4 if who is Role.ADMIN else 1,) for part in range(parts)
]
#: Fields that fit when they are empty.
EMPTY: Final = dict.fromkeys(
    [
        "rows",
        "overrides",
        "matrix",
        "sweeps",
        "preset",
        "since",
        "until",
        "type",
        "status",
        "base_url",
        "after",
    ],
    "",
)


@contextmanager
def asked() -> Iterator[set[str]]:
    """The names that a view looks for in what was sent."""
    names: set[str] = set()
    real = {name: getattr(QueryDict, name) for name in ("get", "getlist", "__getitem__", "__contains__")}

    def watched(name: str) -> Any:
        def look(self: QueryDict, key: str, *rest: Any, **named: Any) -> Any:
            names.add(str(key))
            return real[name](self, key, *rest, **named)

        return look

    own = {name: QueryDict.__dict__.get(name) for name in real}
    for name in real:
        setattr(QueryDict, name, watched(name))
    try:
        yield names
    finally:
        for name, before in own.items():
            if before is None:
                delattr(QueryDict, name)
            else:
                setattr(QueryDict, name, before)


def names_of(client: Client, method: str, address: str) -> set[str]:
    """What the view asks for, also after it has got the first of it."""
    known: set[str] = set()
    for value in ("1", "1", "a"):
        with asked() as names:
            getattr(client, method)(address, dict.fromkeys(known, value))
        known |= names - {"csrfmiddlewaretoken", "next"}
    return known


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    """Logins that were refused here are not counted against the next test's."""
    yield
    cache.clear()


@pytest.fixture
def addresses() -> dict[str, str]:
    return make_addresses()


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def sign_in(client: Client, who: Role | None) -> None:
    if who is not None:
        client.force_login(make_user(role=who, is_staff=who is Role.ADMIN))


def words_of(answer: Any) -> str:
    told = re.search(r"<title>(.*?)</title>", answer.content.decode("utf-8", "replace"), re.DOTALL)
    return told[1].strip()[:80] if told else ""


def wrong(answer: Any) -> bool:
    return bool(answer.status_code >= 500) and answer.status_code != 503


def show(value: str) -> str:
    return repr(value if len(value) < 40 else f"{value[:30]}… ({len(value)})")


@pytest.mark.parametrize(("who", "part", "parts"), SHARES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_no_field_of_any_form_or_address_makes_a_500(
    addresses: dict[str, str], client: Client, who: Role | None, part: int, parts: int, method: str
) -> None:
    user = make_user(role=who) if who is not None else None
    found = []
    existing = {"node": str(Node.objects.all()[0].pk), "job": str(Job.objects.all()[0].pk), **EMPTY}
    existing |= dict.fromkeys(("revision", "pack"), str(PackRevision.objects.all()[0].pk))
    for name, address in sorted(addresses.items())[part::parts]:
        if user is not None:
            client.force_login(user)
        fields = names_of(client, method, address)
        # Beside fields that fit, so that a view comes as far as to the one that does not.
        fits = {field: existing.get(field, "1") for field in fields}
        for field in sorted(fields):
            for value in VALUES[method] if who is Role.ADMIN else FEW:
                if user is not None and name == "logout":
                    client.force_login(user)
                answer = getattr(client, method)(address, {**fits, field: value})
                if wrong(answer):
                    found.append(f"{method} {name} {field}={show(value)}: {words_of(answer)}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("method", ["get", "post"])
def test_no_id_in_any_address_makes_a_500(
    addresses: dict[str, str], client: Client, who: Role | None, method: str
) -> None:
    sign_in(client, who)
    found = []
    for name, address in sorted(addresses.items()):
        for place in re.finditer(r"(?<=/)\d+(?=/|$)", address):
            for value in IDS:
                hostile = address[: place.start()] + quote(value, safe="%") + address[place.end() :]
                answer = getattr(client, method)(hostile)
                if wrong(answer):
                    found.append(f"{method} {name} {show(value)}: {words_of(answer)}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "query", ["", "?id__exact=²", "?q=%00", "?p=99999999999", "?o=²", "?e=1&x=²", "?" + "a=1&" * 2_000]
)
def test_no_page_of_the_admin_makes_a_500(client: Client, query: str) -> None:
    client.force_login(make_user(is_staff=True, is_superuser=True))
    found = []
    for address in admin_addresses():
        if address == reverse("admin:logout"):
            continue
        for hostile in {address, *(address.replace("/1/", f"/{quote(value, safe='%')}/") for value in IDS)}:
            answer = client.get(hostile + query)
            if wrong(answer):
                found.append(f"{show(hostile)}{query[:20]}: {words_of(answer)}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "headers",
    [
        {"HX-Request": "true", "HX-Current-URL": "http://[::1"},
        {"HX-Request": "true", "HX-Target": "\u202e", "HX-Trigger": "x" * 9_000},
        {"Referer": "http://a..b/\ud83d"},
        {"Cookie": "sessionid=\x7f; messages=²; csrftoken=x"},
        {"Accept-Language": "²" * 500},
        {"If-Modified-Since": "Mon, 01 Jan 0001 00:00:00 GMT", "If-None-Match": '"' * 500},
        {"Range": "bytes=²-"},
        {"X-Forwarded-For": "²", "X-Forwarded-Host": "a..b"},
        {"Host": "a..b"},
        {"Content-Type": "multipart/form-data; boundary=" + "x" * 500},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_header_makes_a_500(addresses: dict[str, str], client: Client, headers: dict[str, str]) -> None:
    sign_in(client, Role.ADMIN)
    found = []
    for name, address in sorted(addresses.items()):
        for method in ("get", "post"):
            answer = getattr(client, method)(address, headers=headers)
            if wrong(answer):
                found.append(f"{method} {name}: {words_of(answer)}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "name", ["²", "a\0.txt", "x" * 5_000 + ".txt", "../../a.txt", ".txt", "a\n.json", "\u202ea.txt"]
)
@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"a\n" * 1_000]
)
def test_no_uploaded_file_makes_a_500(client: Client, name: str, content: bytes) -> None:
    sign_in(client, Role.OPERATOR)
    for ending in (".json", ".txt"):
        sent = SimpleUploadedFile(name + ending, content)
        sent.name = name + ending
        answer = client.post(reverse("pack-import"), {"pack_files": [sent]})
        assert not wrong(answer), words_of(answer)


@pytest.mark.parametrize(
    ("limit", "sent", "headers", "words"),
    [
        ("DATA_UPLOAD_MAX_NUMBER_FILES", {}, {}, "More than 2,000 files were sent at once."),
        ("DATA_UPLOAD_MAX_NUMBER_FIELDS", {}, {}, "The form holds more than 5,000 entries."),
        ("DATA_UPLOAD_MAX_MEMORY_SIZE", {"reason": "x" * 100_000}, {}, "more than 16 MiB of text"),
        ("", {}, {"Host": "somewhere.example"}, "adds the name to STABLENEW_ALLOWED_HOSTS"),
    ],
)
def test_what_is_refused_before_any_view_is_told_in_words(
    settings: Any, limit: str, sent: dict[str, Any], headers: dict[str, str], words: str
) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(make_user(role=Role.OPERATOR))
    files = [SimpleUploadedFile(f"{n}.txt", b"a castle\n") for n in range(3)]
    if limit:
        setattr(settings, limit, 1)
    answer = client.post(
        reverse("pack-import"), {"a": "1", "b": "2", "pack_files": files} | sent, headers=headers
    )
    assert answer.status_code == 400
    assert "Nothing was done." in answer.text
    assert words in " ".join(answer.text.split())
