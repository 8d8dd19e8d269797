"""Parts of results over HTTP: what a browser asks for when it seeks in a film, and what it gets."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from waitress.server import create_server

from jobs.models import OutputImage
from jobs.running.outputs import output_root
from stablenew_site.head_requests import without_body
from tests.factories import make_job, make_runner, make_user
from tests.integration.finished_jobs import add_picture, claim
from tests.promises import PATIENCE_S

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 4_000
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


def make_output(suffix: str = ".mp4", content: bytes = CONTENT) -> OutputImage:
    """A result whose file has this content."""
    make_job()
    path = f"2026-01-31/film{suffix}"
    file = Path(output_root()) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    like = add_picture(claim(make_runner()), path=path)
    columns = {
        field.name: getattr(like, field.name) for field in OutputImage._meta.fields if field.name != "id"
    }
    sha256 = hashlib.sha256(content).hexdigest()
    row = OutputImage(**columns | {"image_index": 1, "sha256": sha256, "size_bytes": len(content)})
    row.save(force_insert=True)
    return row


@pytest.fixture
def address() -> str:
    return reverse("output", args=[make_output().pk])


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else bytes(answer.content)


@pytest.mark.parametrize(
    ("asked", "start", "end"), [("0-99", 0, 100), ("1000-", 1_000, None), ("-500", -500, None)]
)
def test_a_part_comes_as_206_with_its_place(
    viewer: Client, address: str, asked: str, start: int, end: int | None
) -> None:
    answer = viewer.get(address, headers={"Range": f"bytes={asked}"})
    part = CONTENT[start:end]
    first = start % len(CONTENT)
    assert answer.status_code == 206
    assert body(answer) == part
    assert answer["Content-Length"] == str(len(part))
    assert answer["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(CONTENT)}"
    assert answer["Content-Type"] == "video/mp4"
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["ETag"] == ETAG
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-1,5-6"}, {"Range": "bytes=9-1"}, {"Range": "x"}])
def test_without_a_single_range_the_whole_comes_and_says_that_there_are_parts(
    viewer: Client, address: str, headers: dict[str, str]
) -> None:
    answer = viewer.get(address, headers=headers)
    assert answer.status_code == 200
    assert body(answer) == CONTENT
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Length"] == str(len(CONTENT))
    assert "Content-Range" not in answer


def test_a_part_that_is_not_there_is_416_with_the_size(viewer: Client, address: str) -> None:
    answer = viewer.get(f"{address}?v={ETAG[1:13]}", headers={"Range": f"bytes={len(CONTENT)}-"})
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{len(CONTENT)}"
    assert answer["Cache-Control"] == "no-store"
    assert f"{len(CONTENT):,} bytes" in body(answer).decode()


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (ETAG, 206),
        ('"another"', 200),
        (f"W/{ETAG}", 200),
        (ETAG.strip('"'), 200),
        ("Sat, 31 Jan 2026 00:00:00 GMT", 200),
        ("", 200),
    ],
)
def test_if_range_gives_a_part_only_of_the_very_same_file(
    viewer: Client, address: str, if_range: str, status: int
) -> None:
    answer = viewer.get(address, headers={"Range": "bytes=0-9", "If-Range": if_range})
    assert answer.status_code == status
    assert body(answer) == (CONTENT[:10] if status == 206 else CONTENT)
    # A part that does not exist is no matter for somebody whose file is another one.
    behind = viewer.get(address, headers={"Range": f"bytes={len(CONTENT)}-", "If-Range": if_range})
    assert behind.status_code == (416 if status == 206 else 200)


def test_who_has_the_file_is_told_so_whatever_part_is_asked_for(viewer: Client, address: str) -> None:
    answer = viewer.get(address, headers={"Range": "bytes=0-9", "If-None-Match": ETAG})
    assert answer.status_code == 304
    assert body(answer) == b""


def test_head_tells_of_the_whole_file(viewer: Client, address: str) -> None:
    answer = viewer.head(address, headers={"Range": "bytes=0-9"})
    assert answer.status_code == 200
    assert answer["Content-Length"] == str(len(CONTENT))
    assert answer["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("suffix", "kind", "handed_out"),
    [
        (".png", "image/png", False),
        (".webp", "image/webp", False),
        (".MP4", "video/mp4", False),
        (".html", "application/octet-stream", True),
        (".svg", "application/octet-stream", True),
    ],
)
def test_a_part_has_the_type_and_the_name_of_the_whole(
    viewer: Client, suffix: str, kind: str, handed_out: bool
) -> None:
    address = reverse("output", args=[make_output(suffix).pk])
    for headers in ({}, {"Range": "bytes=5-"}):
        answer = viewer.get(address, headers=headers)
        assert answer["Content-Type"] == kind
        assert ("attachment" in answer["Content-Disposition"]) is handed_out
        assert "attachment" in viewer.get(f"{address}?download=1", headers=headers)["Content-Disposition"]


def test_an_empty_file_is_sent_whole_and_has_no_part(viewer: Client) -> None:
    address = reverse("output", args=[make_output(content=b"").pk])
    assert body(viewer.get(address)) == b""
    answer = viewer.get(address, headers={"Range": "bytes=0-"})
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */0")


def test_nobody_gets_a_part_without_a_login_or_of_a_file_outside(client: Client, address: str) -> None:
    headers = {"Range": "bytes=0-9"}
    assert client.get(address, headers=headers)["Location"].startswith(reverse("login"))
    client.force_login(make_user("vera"))
    make_job()
    outside = add_picture(claim(make_runner()), path="../stablenew.sqlite3")
    assert client.get(reverse("output", args=[outside.pk]), headers=headers).status_code == 404
    assert client.post(address, headers=headers).status_code == 405


def test_pages_may_show_films_of_this_server_alone(viewer: Client) -> None:
    assert "media-src 'self'" in viewer.get(reverse("queue"))["Content-Security-Policy"].split("; ")


@pytest.fixture
def web_server() -> Iterator[str]:
    """The site on the real web server, in a thread of this process."""
    site = without_body(get_wsgi_application())

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return site(environ, start_response)
        finally:
            # The database of a test goes with it.
            connections.close_all()

    server: Any = create_server(answer, host="127.0.0.1", port=0, threads=2)
    leave = threading.Event()

    def run() -> None:
        while not leave.is_set():
            server.asyncore.loop(timeout=0.2, map=server._map, count=1)

    thread = threading.Thread(target=run)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    leave.set()
    server.pull_trigger()
    thread.join()
    server.task_dispatcher.shutdown()
    server.close()


@pytest.mark.django_db(transaction=True)
def test_the_web_server_sends_parts_one_after_the_other_on_one_connection(
    viewer: Client, address: str, web_server: str
) -> None:
    with requests.Session() as browser:
        browser.cookies["sessionid"] = viewer.cookies["sessionid"].value
        got = b""
        while len(got) < len(CONTENT):
            headers = {"Range": f"bytes={len(got)}-{len(got) + 99_999}", "If-Range": ETAG}
            answer = browser.get(web_server + address, headers=headers, timeout=PATIENCE_S)
            assert answer.status_code == 206
            got += answer.content
        assert got == CONTENT
        # A body behind the answer to HEAD would be taken for the next answer.
        for _ in range(2):
            head = browser.head(web_server + address, timeout=PATIENCE_S)
            assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(CONTENT)))
        whole = browser.get(web_server + address, timeout=PATIENCE_S)
        assert (whole.status_code, whole.content) == (200, CONTENT)
