"""One picture for each request: kept with its facts, or refused by name, and never received beyond its limit."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from waitress.server import create_server

from jobs.inputs.store import input_root, open_input, path_of
from jobs.models import InputPicture
from jobs.pages.uploads import MAX_FORM_BYTES
from stablenew_site.upload_limit import bound_uploads
from tests.factories import make_user
from tests.promises import PATIENCE_S
from tests.sample_pictures import picture
from webui.work.limits import MAX_INPUT_BYTES

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/inputs/"
#: What the server asks its system for at once.
PIECE_BYTES = 8192


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    settings.STABLENEW_THUMBNAIL_DIR = tmp_path / "thumbnails"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def send(client: Client, content: bytes, name: str = "cat.png", **headers: str) -> Any:
    address = f"{ADDRESS}?name={quote(name)}"
    return client.generic("POST", address, content, "application/octet-stream", headers=headers)


# --- what is kept -------------------------------------------------------------------------------------------


def test_a_picture_is_kept_and_told_with_the_address_of_a_small_one(operator: Client) -> None:
    content = picture(7, (640, 480))
    answer = send(operator, content, "Katze im Hof.png")
    told = answer.json()
    assert answer.status_code == 201
    assert told.items() >= {"name": "Katze im Hof.png", "width": 640, "height": 480, "format": "PNG"}.items()
    row = InputPicture.objects.get(sha256=told["sha256"])
    assert (row.by, row.name, open_input(row.sha256)) == ("otto", "Katze im Hof.png", content)
    assert operator.get(told["thumb"]).headers["Content-Type"] == "image/webp"


def test_a_form_with_one_file_does_the_same_and_equal_bytes_are_one_picture(operator: Client) -> None:
    content = picture(7)
    told = operator.post(ADDRESS, {"picture": SimpleUploadedFile("cat.png", content)}).json()
    assert told["sha256"] == send(operator, content, "again.png").json()["sha256"]
    assert InputPicture.objects.count() == 1
    two = [SimpleUploadedFile(f"{n}.png", picture(n)) for n in range(2)]
    refused = operator.post(ADDRESS, {"picture": two})
    assert refused.status_code == 400
    assert refused.json()["error"] == "The request has 2 files. Send one picture with each request."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cat.png is empty (0 bytes). Choose another file."),
        (b"hello", "cat.png is no picture (PNG, JPEG, WEBP, AVIF)."),
        (picture(1)[:60], "cat.png is a PNG that is cut off or broken"),
        (b"GIF89a" + bytes(20), "cat.png is a GIF, and only PNG"),
    ],
    ids=["empty", "text", "cut", "gif"],
)
def test_what_is_no_picture_is_refused_by_name_and_nothing_is_stored(
    operator: Client, content: bytes, words: str
) -> None:
    for answer in (
        send(operator, content),
        operator.post(ADDRESS, {"picture": SimpleUploadedFile("cat.png", content)}),
    ):
        assert answer.status_code == 422
        assert words in answer.json()["error"]
    assert not InputPicture.objects.exists()
    assert not input_root().exists()


def test_a_name_that_would_show_as_something_else_is_written_out(operator: Client) -> None:
    assert send(operator, picture(), "gnp.\u202etac.png").json()["name"] == "gnp.\\u202etac.png"
    assert send(operator, b"x", "").json()["error"].startswith("The picture is no picture")


def test_a_disk_that_takes_nothing_is_told_as_a_failure_that_may_pass(operator: Client) -> None:
    input_root().write_bytes(b"a file where the folder should be")
    answer = send(operator, picture())
    assert answer.status_code == 503
    assert answer.json()["error"]


def test_only_who_may_change_things_gives_pictures_and_only_from_a_page_of_this_site(client: Client) -> None:
    assert send(client, picture()).status_code == 302
    client.force_login(make_user("vera"))
    assert send(client, picture()).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_user("otto", operator=True))
    assert send(strict, picture()).status_code == 403
    strict.get(reverse("new-video"))
    token = strict.cookies["csrftoken"].value
    assert send(strict, picture(), **{"X-CSRFToken": token}).status_code == 201


# --- what is too large, at the real web server ----------------------------------------------------------------


class Watched:
    """The site, and how many bytes of each request's body came to it."""

    def __init__(self) -> None:
        self._site = get_wsgi_application()
        self.bodies: list[int] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read()
        self.bodies.append(len(body))
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            return self._site(environ, start_response)
        finally:
            # The database of a test goes with it.
            connections.close_all()


class Site:
    """The site at a port, and what a browser of an operator sends with each request."""

    def __init__(self, port: int, app: Watched, headers: dict[str, str]) -> None:
        self.port, self.app, self._headers = port, app, headers

    def begin(self, length: dict[str, str], address: str = f"{ADDRESS}?name=cat.png") -> socket.socket:
        """A connection on which the head of a request was sent."""
        lines = {"Host": f"127.0.0.1:{self.port}", **self._headers, **length}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        opened.sendall(f"POST {address} HTTP/1.1\r\n{head}\r\n".encode())
        return opened


@pytest.fixture
def site() -> Iterator[Site]:
    client = Client()
    client.force_login(make_user("otto", operator=True))
    client.get(reverse("new-video"))
    cookies = "; ".join(f"{name}={one.value}" for name, one in client.cookies.items())
    headers = {"Cookie": cookies, "X-CSRFToken": client.cookies["csrftoken"].value}
    app = Watched()
    server = create_server(app, host="127.0.0.1", port=0, threads=2)
    bound_uploads(server)
    with _running(server):
        yield Site(server.effective_port, app, headers)


@contextmanager
def _running(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.trigger.pull_trigger(server.close)
        with suppress(OSError):
            server.close()
        thread.join()
        server.task_dispatcher.shutdown()


def answer_of(opened: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and document; the connection is then at its end."""
    content = b""
    with suppress(ConnectionResetError):
        while piece := opened.recv(65536):
            content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def in_chunks(opened: socket.socket, size: int) -> None:
    """Send a body of so many bytes without telling its length; stops where nobody takes it any more."""
    with suppress(BrokenPipeError, ConnectionResetError):
        while size > 0:
            piece = min(size, 100_000)
            opened.sendall(b"%x\r\n%b\r\n" % (piece, bytes(piece)))
            size -= piece
        opened.sendall(b"0\r\n\r\n")


def test_a_length_beyond_the_limit_is_refused_before_anything_is_received(site: Site) -> None:
    with site.begin({"Content-Length": str(MAX_INPUT_BYTES + 1)}) as opened:
        status, told = answer_of(opened)
    assert status == 413
    assert told["error"].startswith("cat.png has more than 7,864,320 bytes (10 MB as base64).")
    assert site.app.bodies == [0]


def test_without_a_length_no_more_than_the_limit_is_received(site: Site) -> None:
    with site.begin({"Transfer-Encoding": "chunked"}) as opened:
        in_chunks(opened, 12 * MAX_INPUT_BYTES)
        status, told = answer_of(opened)
    assert status == 413
    assert told["error"].startswith("cat.png has more than 7,864,320 bytes (10 MB as base64).")
    assert len(site.app.bodies) == 1
    assert MAX_INPUT_BYTES < site.app.bodies[0] <= MAX_INPUT_BYTES + PIECE_BYTES
    assert not input_root().exists()


@pytest.mark.parametrize(
    "length", [{"Content-Length": str(MAX_INPUT_BYTES)}, {"Transfer-Encoding": "chunked"}]
)
def test_a_picture_of_the_very_limit_is_received_whole(site: Site, length: dict[str, str]) -> None:
    with site.begin({"Connection": "close", **length}) as opened:
        if "Content-Length" in length:
            opened.sendall(bytes(MAX_INPUT_BYTES))
        else:
            in_chunks(opened, MAX_INPUT_BYTES)
        status, told = answer_of(opened)
    # It was read and judged: nulls are no picture.
    assert (status, site.app.bodies) == (422, [MAX_INPUT_BYTES])
    assert told["error"].startswith("cat.png is no picture")


def test_a_form_may_be_larger_by_what_stands_around_its_picture(site: Site) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with site.begin({**kind, "Content-Length": str(MAX_INPUT_BYTES + MAX_FORM_BYTES + 1)}) as opened:
        status, told = answer_of(opened)
    assert status == 413
    assert "more than 7,864,320 bytes" in told["error"]
    content = picture()
    body = (
        b'--x\r\nContent-Disposition: form-data; name="p"; filename="a.png"\r\n\r\n%b\r\n--x--\r\n' % content
    )
    with site.begin({**kind, "Connection": "close", "Content-Length": str(len(body))}) as opened:
        opened.sendall(body)
        status, told = answer_of(opened)
    assert (status, told["name"]) == (201, "a.png")
    assert path_of(told["sha256"]).read_bytes() == content


def test_requests_behind_one_that_is_too_long_are_not_read_from_its_rest(site: Site) -> None:
    with site.begin({"Transfer-Encoding": "chunked"}) as opened:
        hidden = b"POST /queue/pause/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        with suppress(BrokenPipeError, ConnectionResetError):
            opened.sendall(
                b"%x\r\n%b" % (MAX_INPUT_BYTES + PIECE_BYTES, bytes(MAX_INPUT_BYTES + PIECE_BYTES))
            )
            opened.sendall(hidden * 100)
        assert answer_of(opened)[0] == 413
    assert len(site.app.bodies) == 1


def test_other_addresses_take_larger_bodies(site: Site) -> None:
    size = MAX_INPUT_BYTES + MAX_FORM_BYTES + 1
    length = {"Content-Length": str(size), "Connection": "close", "Content-Type": "text/plain"}
    with site.begin(length, "/packs/import/") as opened:
        opened.sendall(bytes(size))
        head = b""
        while piece := opened.recv(65536):
            head += piece
    assert site.app.bodies == [size]
    assert head.split()[1] == b"400"
