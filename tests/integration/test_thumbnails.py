"""Small pictures of results: made once, kept within bounds, answered by hash; and conditional answers for full ones."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.http import FileResponse, HttpResponse
from django.test import Client
from django.urls import reverse
from PIL import Image, PngImagePlugin
from pytest_django import Settings

from jobs.errors import UnreadablePictureError
from jobs.models import OutputImage
from jobs.pages import thumbnails
from jobs.pages.thumbnails import thumbnail, thumbnail_path
from jobs.running.outputs import output_root
from jobs.running.small_pictures import small_webp
from tests.factories import make_job, make_runner, make_user, submit
from tests.integration.finished_jobs import add_picture, claim, complete

pytestmark = pytest.mark.django_db

BROWSER = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
PERSON = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_THUMBNAIL_DIR = tmp_path / "thumbnails"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


@pytest.fixture
def output() -> OutputImage:
    make_job()
    complete(make_runner())
    return OutputImage.objects.get()


def file_of(row: OutputImage) -> Path:
    return Path(output_root()) / row.path


def replace_file(row: OutputImage, content: bytes) -> None:
    file_of(row).write_bytes(content)


def png(size: tuple[int, int], mode: str = "RGB", **words: str) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for name, text in words.items():
        chunks.add_text(name, text)
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, "PNG", pnginfo=chunks)
    return stream.getvalue()


def test_thumbnail_is_a_small_webp_that_may_be_kept_for_ever(viewer: Client, output: OutputImage) -> None:
    replace_file(output, png((1024, 512)))
    answer = viewer.get(reverse("thumb", args=[output.pk]), {"v": output.sha256[:12]})
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/webp")
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer["X-Content-Type-Options"] == "nosniff"
    with Image.open(io.BytesIO(answer.content)) as small:
        assert (small.format, small.size) == ("WEBP", (256, 128))


@pytest.mark.parametrize("name", ["thumb", "output"])
@pytest.mark.parametrize("version", [None, "", "0", "000000000000"])
def test_address_without_the_hash_is_asked_each_time(
    viewer: Client, output: OutputImage, name: str, version: str | None
) -> None:
    """Its number may be another picture's with the next database."""
    answer = viewer.get(reverse(name, args=[output.pk]), {} if version is None else {"v": version})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-cache"


def test_thumbnail_is_made_once(viewer: Client, output: OutputImage) -> None:
    address = reverse("thumb", args=[output.pk])
    first = viewer.get(address).content
    file_of(output).unlink()
    assert viewer.get(address).content == first
    # What a power cut may leave behind is made again, and then the file is missed.
    thumbnail_path(output).write_bytes(b"")
    assert viewer.get(address).status_code == 404


@pytest.mark.parametrize("name", ["thumb", "output"])
def test_who_has_the_picture_is_told_so(viewer: Client, output: OutputImage, name: str) -> None:
    address = reverse(name, args=[output.pk])
    first = viewer.get(address)
    file_of(output).unlink()
    again = viewer.get(address, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert again["Cache-Control"] == first["Cache-Control"]
    assert viewer.get(address, headers={"If-None-Match": '"other"'}).status_code != 304


def test_thumbnail_holds_no_words_of_the_picture(output: OutputImage) -> None:
    replace_file(output, png((300, 300), parameters="a secret garden\nSteps: 20"))
    content = thumbnail(output)
    assert b"secret" not in content
    with Image.open(io.BytesIO(content)) as small:
        assert not small.info.get("exif")
        assert not small.info.get("xmp")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_pictures_of_every_kind_are_made_small(mode: str) -> None:
    with Image.open(io.BytesIO(small_webp(png((64, 48), mode), edge_px=32, most_pixels=4096))) as small:
        assert small.size == (32, 24)


def test_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(UnreadablePictureError, match="100 x 100 pixels are too many"):
        small_webp(png((100, 100)), edge_px=32, most_pixels=9_999)
    with pytest.raises(UnreadablePictureError):
        small_webp(png((100, 100))[:60], edge_px=32, most_pixels=10_000)
    bitmap = io.BytesIO()
    Image.new("RGB", (8, 8)).save(bitmap, "BMP")
    with pytest.raises(UnreadablePictureError):
        small_webp(bitmap.getvalue(), edge_px=32, most_pixels=10_000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is gone: it was moved or deleted"),
        (b"no picture", "cannot be read as a picture"),
        (png((64, 64))[:70], "cannot be read as a picture"),
    ],
    ids=["gone", "no picture", "torn"],
)
def test_missing_or_broken_picture_gives_a_placeholder_to_a_page_and_words_to_a_person(
    viewer: Client, output: OutputImage, content: bytes | None, words: str
) -> None:
    replace_file(output, content) if content is not None else file_of(output).unlink()
    drawn = viewer.get(reverse("thumb", args=[output.pk]), headers=BROWSER)
    assert (drawn.status_code, drawn["Content-Type"]) == (404, "image/svg+xml")
    assert (drawn["Cache-Control"], drawn["Vary"].split(", ")[0]) == ("no-store", "Accept")
    assert words in drawn.content.decode()
    told = viewer.get(reverse("thumb", args=[output.pk]), headers=PERSON)
    assert (told.status_code, told["Content-Type"].partition(";")[0]) == (404, "text/html")
    assert words in told.content.decode()


def test_unknown_picture_is_a_404(viewer: Client) -> None:
    for name in ("thumb", "output", "picture"):
        answer = viewer.get(reverse(name, args=[4711]))
        assert answer.status_code == 404
        assert "There is no picture 4711." in answer.content.decode()


def test_thumbnail_of_a_file_outside_the_output_folder_is_never_made(viewer: Client, tmp_path: Path) -> None:
    make_job()
    Path(output_root()).mkdir(parents=True, exist_ok=True)
    (tmp_path / "secret.png").write_bytes(png((64, 64)))
    row = add_picture(claim(make_runner()), path="../secret.png")
    assert viewer.get(reverse("thumb", args=[row.pk])).status_code == 404
    assert not thumbnail_path(row).exists()


def test_oldest_thumbnails_go_when_there_are_too_many(
    output: OutputImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "MOST_PER_FOLDER", 3)
    folder = thumbnail_path(output).parent
    folder.mkdir(parents=True)
    for age in range(1, 6):
        (folder / f"{age}.webp").write_bytes(b"old")
        os.utime(folder / f"{age}.webp", (1_000_000 - age, 1_000_000 - age))
    thumbnail(output)
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        ["1.webp", "2.webp", thumbnail_path(output).name]
    )


@pytest.mark.django_db(transaction=True)
def test_many_who_ask_at_once_get_the_same_thumbnail_which_is_made_once(
    output: OutputImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file(output, png((900, 900)))
    gate, found = threading.Barrier(6), []
    made: list[Path | bytes] = []

    def counted(source: Path | bytes, **limits: Any) -> bytes:
        made.append(source)
        return small_webp(source, **limits)

    monkeypatch.setattr(thumbnails, "small_webp", counted)

    def ask() -> None:
        gate.wait()
        found.append(thumbnail(output))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert len(made) == 1
    assert [file.name for file in thumbnail_path(output).parent.iterdir()] == [thumbnail_path(output).name]


def test_full_disk_costs_time_and_not_the_page(
    viewer: Client, output: OutputImage, settings: Settings
) -> None:
    Path(settings.STABLENEW_THUMBNAIL_DIR).write_text("in the way")
    assert viewer.get(reverse("thumb", args=[output.pk])).status_code == 200


def test_download_has_a_safe_name(viewer: Client, output: OutputImage) -> None:
    answer = viewer.get(reverse("output", args=[output.pk]), {"download": "1"})
    assert isinstance(answer, FileResponse)
    assert answer["Content-Disposition"] == f'attachment; filename="job-{output.job_id}-txt2img-1.png"'


def test_lists_ask_for_thumbnails_and_never_for_full_pictures(viewer: Client) -> None:
    submit(repeat=2)
    runner = make_runner()
    complete(runner, pictures=2)
    complete(runner)
    for name in ("history", "jobs"):
        answer: HttpResponse = viewer.get(reverse(name))  # type: ignore[assignment]
        text = answer.content.decode()
        assert text.count("/thumb/") == 2, name
        assert all(
            f'src="/outputs/{pk}/"' not in text for pk in OutputImage.objects.values_list("pk", flat=True)
        )
